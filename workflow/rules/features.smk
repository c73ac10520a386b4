"""Backbones and the bank of features that all folds, augmentations and epochs share."""


# On a cluster it runs where Snakemake runs, as all downloads do (data.smk).
rule weights:
    output:
        weights=update(f"{RESOURCES}/weights/{{backbone}}.h5"),
    retries: 2
    localrule: True
    resources:
        **job(1000, 60),
    params:
        mirror=config["mirror"],
        content=mirrored("weights"),
        step=step("features/weights"),
    message:
        "Fetching the ImageNet weights of {wildcards.backbone}"
    script:
        "../scripts/run.py"


rule backbone:
    input:
        weights=weight_file,
    output:
        network=update(f"{RUN}/backbones/{{backbone}}.keras"),
        summary=update(f"{RUN}/backbones/{{backbone}}.json"),
    resources:
        **job(3000, 10),
    params:
        size=config["image_size"],
        seed=config["seed"],
        pooled_layers=lambda wildcards: config["pooled_layers"].get(
            wildcards.backbone, []
        ),
        step=step("features/backbone"),
    message:
        "Building {wildcards.backbone}"
    script:
        "../scripts/run.py"


rule features:
    input:
        network=f"{RUN}/backbones/{{backbone}}.keras",
        images=lambda wildcards: f"{RUN}/images/{images_of(wildcards.bank)}.npy",
        table=lambda wildcards: f"{RUN}/data/{images_of(wildcards.bank)}.csv",
        # Every synthetic image is for training; of the others only the training images need views.
        holdout=branch(
            lambda wildcards: images_of(wildcards.bank) == "manifest",
            then=f"{RUN}/data/holdout.csv",
        ),
    output:
        **dict(zip(["clean", "views", "rows"], map(sharded, bank("{bank}")))),
    wildcard_constraints:
        bank=BANK,
    threads: THREADS
    resources:
        **job(6000, 240, gpu=1),
    params:
        settings=lambda wildcards: dict(
            trainable=config["training"]["trainable"],
            views=config["views"],
            transform=transform_of(wildcards.bank),
            seed=config["seed"],
            mixed_precision=config["performance"]["mixed_precision"],
        ),
        step=step("features/features"),
    message:
        "{wildcards.backbone}: features of {wildcards.bank} and its augmented views"
    script:
        "../scripts/run.py"


# The backbone whose features the shortcut controls use.
CONTROL = config["controls"]["backbone"] or BACKBONES[0]


rule control_features:
    input:
        network=f"{RUN}/backbones/{CONTROL}.keras",
        images=f"{RUN}/images/manifest.npy",
        lungs=f"{RUN}/images/lungs.npy",
        lungs_table=f"{RUN}/data/lungs.csv",
    output:
        features=sharded(f"{RUN}/features/{CONTROL}/controls/{{control}}.npy"),
    wildcard_constraints:
        control="whole|no_lungs|borders",
    threads: THREADS
    resources:
        **job(6000, 60, gpu=1),
    params:
        mixed_precision=config["performance"]["mixed_precision"],
        step=step("features/control_features"),
    message:
        f"{CONTROL}: features of the control {{wildcards.control}}"
    script:
        "../scripts/run.py"


rule external_features:
    input:
        network=f"{RUN}/backbones/{{backbone}}.keras",
        images=f"{RUN}/images/external/{{set}}.npy",
    output:
        features=sharded(EXTERNAL_FEATURES),
    threads: THREADS
    resources:
        **job(6000, 60, gpu=1),
    params:
        trainable=config["training"]["trainable"],
        mixed_precision=config["performance"]["mixed_precision"],
        step=step("features/external_features"),
    message:
        "{wildcards.backbone}: features of the external set {wildcards.set}"
    script:
        "../scripts/run.py"
