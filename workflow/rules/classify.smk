"""Networks and other classifiers on cached features: one job per fold's network, one per classifier; their predictions
on the run's own images and on external sets in one table; complete models where somebody asks for them.
"""

HEAD_ONLY = config["training"]["trainable"] == "head"
# A head on cached features is a matter of seconds on one core and leaves the GPU to others.
ON_HEADS = job(3000, 15) if HEAD_ONLY else job(8000, 240, gpu=1)
HEAD_THREADS = 1 if HEAD_ONLY else THREADS
# All arms of the repeats share the transform of one augmentation.
MOST_SYNTHETIC = max(AUGMENTATIONS, key=SYNTHETIC_IN.get)


rule train:
    input:
        network=[] if HEAD_ONLY else f"{RUN}/backbones/{{backbone}}.keras",
        bank=lambda wildcards: bank("manifest", wildcards.augmentation),
        images=[f"{RUN}/data/manifest.csv", SPLIT],
        synthetic=synthetic_bank,
    output:
        head=update(HEAD),
        history=update(HISTORY),
        predictions=update(FOLD_PREDICTIONS),
    threads: HEAD_THREADS
    resources:
        **ON_HEADS,
    params:
        settings=lambda wildcards: dict(
            classes=CLASSES,
            synthetic=SYNTHETIC_IN[wildcards.augmentation],
            seed=config["seed"],
            **select(config["performance"], "mixed_precision", "xla"),
            **config["training"],
        ),
        step=step("classify/train"),
    message:
        "Training {wildcards.backbone} {wildcards.augmentation} {wildcards.fold} on {wildcards.population}"
    script:
        "../scripts/run.py"


rule classifier:
    input:
        clean=bank("manifest")[0],
        rows=bank("manifest")[2],
        images=[f"{RUN}/data/manifest.csv", SPLIT],
    output:
        models=update(CLASSIFIER),
        predictions=update(
            f"{RUN}/predictions/{{population}}/{{backbone}}/{{classifier}}.csv"
        ),
    # Its matrices are small: more threads make it slower by far.
    threads: 1
    resources:
        **job(2000, 15),
    params:
        classes=CLASSES,
        by_class=config["training"]["class_weights"],
        by_source=config["training"]["source_weights"],
        step=step("classify/classifier"),
    message:
        "{wildcards.classifier} on the features of {wildcards.backbone} of {wildcards.population}"
    script:
        "../scripts/run.py"


rule score:
    input:
        heads=lambda wildcards: expand(
            HEAD,
            augmentation=augmentations_of(wildcards.population),
            fold=FOLDS,
            allow_missing=True,
        ),
        classifiers=expand(CLASSIFIER, classifier=ON_FEATURES, allow_missing=True),
        features=expand(EXTERNAL_FEATURES, set=EXTERNAL, allow_missing=True),
        tables=EXTERNAL_TABLES,
    output:
        predictions=update(
            f"{RUN}/predictions/{{population}}/{{backbone}}/external.csv"
        ),
    threads: HEAD_THREADS
    resources:
        **ON_HEADS,
    params:
        classes=CLASSES,
        sets=EXTERNAL,
        step=step("classify/score"),
    message:
        "Scoring the models of {wildcards.backbone} of {wildcards.population} on external sets"
    script:
        "../scripts/run.py"


rule predictions:
    input:
        files=predicted_files(),
        splits=expand(SPLIT, population=SOURCES_OF),
        external=EXTERNAL_TABLES,
    output:
        predictions=update(PREDICTIONS),
    resources:
        **job(2000, 15),
    params:
        classes=CLASSES,
        populations=list(SOURCES_OF),
        sets=EXTERNAL,
        step=step("classify/predictions"),
    message:
        "Gathering and checking all predictions"
    script:
        "../scripts/run.py"


rule model:
    input:
        network=f"{RUN}/backbones/{{backbone}}.keras",
        heads=expand(HEAD, fold=FOLDS, allow_missing=True),
        # A trained block has no features of its own in the bank.
        features=[bank("manifest")[0], bank("manifest")[2]] if HEAD_ONLY else [],
        images=[f"{RUN}/data/manifest.csv", SPLIT],
    output:
        model=update(f"{RUN}/models/{MODEL}.keras"),
    resources:
        **job(3000, 10),
    params:
        classes=CLASSES,
        trainable=config["training"]["trainable"],
        step=step("classify/model"),
    message:
        "Assembling the ensemble {wildcards.backbone} {wildcards.augmentation} of {wildcards.population}"
    script:
        "../scripts/run.py"


rule fold_model:
    input:
        network=f"{RUN}/backbones/{{backbone}}.keras",
        head=HEAD,
    output:
        model=update(f"{RUN}/models/{MODEL}/{{fold}}.keras"),
    resources:
        **job(3000, 10),
    params:
        classes=CLASSES,
        trainable=config["training"]["trainable"],
        step=step("classify/fold_model"),
    message:
        "Assembling {wildcards.backbone} {wildcards.augmentation} {wildcards.fold} of {wildcards.population}"
    script:
        "../scripts/run.py"


rule repeats:
    input:
        bank=bank("manifest", MOST_SYNTHETIC),
        images=[f"{RUN}/data/manifest.csv", f"{RUN}/data/holdout.csv"],
        synthetic=[f"{RUN}/data/synthetic.csv", *bank("synthetic", MOST_SYNTHETIC)],
    output:
        predictions=update(f"{RUN}/repeats/{{backbone}}.csv"),
    resources:
        **job(3000, 120),
    params:
        settings=dict(
            classes=CLASSES,
            **select(config["split"], "unit", "folds"),
            **select(config, "repeats", "seed"),
            **config["training"],
        ),
        augmentations=SYNTHETIC_IN,
        step=step("classify/repeats"),
    message:
        "Repeating {wildcards.backbone} with other seeds and folds"
    script:
        "../scripts/run.py"
