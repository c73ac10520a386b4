"""One training job per backbone, augmentation and fold; ensembles; baselines on the same features beside them."""

HEAD_ONLY = config["training"]["trainable"] == "head"


rule train:
    input:
        unpack(synthetic_features),
        backbone=f"{RUN}/backbones/{{backbone}}.keras",
        clean=f"{RUN}/features/{{backbone}}/manifest/clean.npy",
        views=f"{RUN}/features/{{backbone}}/manifest/views.npy",
        rows=f"{RUN}/features/{{backbone}}/manifest/rows.csv",
        manifest=f"{RUN}/data/manifest.csv",
        split=f"{RUN}/data/split.csv",
    output:
        model=update(f"{RUN}/models/{{backbone}}/{{augmentation}}/{{fold}}.keras"),
        history=update(f"{RUN}/history/{{backbone}}/{{augmentation}}/{{fold}}.csv"),
        predictions=update(
            f"{RUN}/predictions/{{backbone}}/{{augmentation}}/{{fold}}.csv"
        ),
    log:
        f"{RUN}/logs/train/{{backbone}}_{{augmentation}}_{{fold}}.log",
    benchmark:
        f"{RUN}/benchmarks/train/{{backbone}}_{{augmentation}}_{{fold}}.tsv"
    conda:
        ENVIRONMENT
    # A head on cached features is a matter of seconds on one core and leaves the GPU to others.
    threads: 1 if HEAD_ONLY else THREADS
    resources:
        gpu=0 if HEAD_ONLY else 1,
        mem_mb=memory(3000 if HEAD_ONLY else 8000),
        runtime=minutes(15 if HEAD_ONLY else 240),
    params:
        classes=CLASSES,
        settings=config["training"],
        synthetic=lambda wildcards: config["augmentations"][wildcards.augmentation][
            "synthetic"
        ],
        seed=config["seed"],
        mixed_precision=config["performance"]["mixed_precision"],
        xla=config["performance"]["xla"],
        code=code("classify/train"),
    message:
        "Training {wildcards.backbone} {wildcards.augmentation} {wildcards.fold}"
    script:
        "../scripts/classify/train.py"


rule ensemble:
    input:
        predictions=expand(
            f"{RUN}/predictions/{{backbone}}/{{augmentation}}/{{model}}.csv",
            model=FOLDS,
            allow_missing=True,
        ),
        split=f"{RUN}/data/split.csv",
    output:
        update(f"{RUN}/predictions/{{backbone}}/{{augmentation}}/ensemble.csv"),
    log:
        f"{RUN}/logs/ensemble/{{backbone}}_{{augmentation}}.log",
    benchmark:
        f"{RUN}/benchmarks/ensemble/{{backbone}}_{{augmentation}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(500),
        runtime=minutes(5),
    params:
        classes=CLASSES,
        code=code("classify/ensemble"),
    message:
        "Averaging the folds of {wildcards.backbone} {wildcards.augmentation}"
    script:
        "../scripts/classify/ensemble.py"


rule all_backbones:
    input:
        lambda wildcards: paths_of(
            predictions_of(
                product(BACKBONES, [wildcards.augmentation]), FOLDS + ENSEMBLE
            )
        ),
    output:
        [
            update(f"{RUN}/predictions/all/{{augmentation}}/{model}.csv")
            for model in FOLDS + ENSEMBLE
        ],
    log:
        f"{RUN}/logs/all_backbones/{{augmentation}}.log",
    benchmark:
        f"{RUN}/benchmarks/all_backbones/{{augmentation}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(500),
        runtime=minutes(5),
    params:
        predictions=lambda wildcards: {
            model: {
                backbone: f"{RUN}/predictions/{backbone}/{wildcards.augmentation}/{model}.csv"
                for backbone in BACKBONES
            }
            for model in FOLDS + ENSEMBLE
        },
        models=FOLDS + ENSEMBLE,
        classes=CLASSES,
        code=code("classify/all_backbones"),
    message:
        "Averaging the backbones of {wildcards.augmentation}"
    script:
        "../scripts/classify/all_backbones.py"


rule logistic:
    input:
        clean=f"{RUN}/features/{{backbone}}/manifest/clean.npy",
        rows=f"{RUN}/features/{{backbone}}/manifest/rows.csv",
        manifest=f"{RUN}/data/manifest.csv",
        split=f"{RUN}/data/split.csv",
    output:
        models=update(f"{RUN}/models/{{backbone}}/logistic.joblib"),
        folds=[
            update(f"{RUN}/predictions/{{backbone}}/logistic/{model}.csv")
            for model in FOLDS
        ],
        ensemble=update(f"{RUN}/predictions/{{backbone}}/logistic/ensemble.csv"),
        choice=update(f"{RUN}/history/{{backbone}}/logistic.csv"),
    log:
        f"{RUN}/logs/logistic/{{backbone}}.log",
    benchmark:
        f"{RUN}/benchmarks/logistic/{{backbone}}.tsv"
    conda:
        ENVIRONMENT
    # Its matrices are small: more threads make it slower by far.
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(15),
    params:
        classes=CLASSES,
        class_weights=config["training"]["class_weights"],
        source_weights=config["training"]["source_weights"],
        code=code("classify/logistic"),
    message:
        "Logistic regression on the features of {wildcards.backbone}"
    script:
        "../scripts/classify/logistic.py"


rule support_vector:
    input:
        clean=f"{RUN}/features/{{backbone}}/manifest/clean.npy",
        rows=f"{RUN}/features/{{backbone}}/manifest/rows.csv",
        manifest=f"{RUN}/data/manifest.csv",
        split=f"{RUN}/data/split.csv",
    output:
        models=update(f"{RUN}/models/{{backbone}}/support_vector.joblib"),
        folds=[
            update(f"{RUN}/predictions/{{backbone}}/support_vector/{model}.csv")
            for model in FOLDS
        ],
        ensemble=update(f"{RUN}/predictions/{{backbone}}/support_vector/ensemble.csv"),
    log:
        f"{RUN}/logs/support_vector/{{backbone}}.log",
    benchmark:
        f"{RUN}/benchmarks/support_vector/{{backbone}}.tsv"
    conda:
        ENVIRONMENT
    # Its matrices are small: more threads make it slower by far.
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(15),
    params:
        classes=CLASSES,
        class_weights=config["training"]["class_weights"],
        source_weights=config["training"]["source_weights"],
        code=code("classify/support_vector"),
    message:
        "Support vector machine on the features of {wildcards.backbone}"
    script:
        "../scripts/classify/support_vector.py"


rule predictions:
    input:
        files=predicted_files(),
        splits=expand(SPLIT, population=SOURCES_OF),
        external=expand(f"{RUN}/data/external/{{set}}.csv", set=EXTERNAL),
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


rule repeats:
    input:
        clean=f"{RUN}/features/{{backbone}}/manifest/clean.npy",
        views=f"{RUN}/features/{{backbone}}/manifest/views.npy",
        rows=f"{RUN}/features/{{backbone}}/manifest/rows.csv",
        synthetic_clean=f"{RUN}/features/{{backbone}}/synthetic/clean.npy",
        synthetic_views=f"{RUN}/features/{{backbone}}/synthetic/views.npy",
        synthetic_rows=f"{RUN}/features/{{backbone}}/synthetic/rows.csv",
        manifest=f"{RUN}/data/manifest.csv",
        holdout=f"{RUN}/data/holdout.csv",
        synthetic=f"{RUN}/data/synthetic.csv",
    output:
        update(f"{RUN}/repeats/{{backbone}}.csv"),
    log:
        f"{RUN}/logs/repeats/{{backbone}}.log",
    benchmark:
        f"{RUN}/benchmarks/repeats/{{backbone}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(3000),
        runtime=minutes(120),
    params:
        classes=CLASSES,
        augmentations={
            name: settings["synthetic"]
            for name, settings in config["augmentations"].items()
        },
        settings=config["training"],
        unit=config["split"]["unit"],
        folds=config["split"]["folds"],
        repeats=REPEATS,
        seed=config["seed"],
        code=code("classify/repeats"),
    message:
        "Repeating {wildcards.backbone} with other seeds and folds"
    script:
        "../scripts/classify/repeats.py"
