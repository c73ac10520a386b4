"""Backbones and the bank of features that all folds, augmentations and epochs share."""

OWN_TRANSFORM = config["transform"]["function"]


# On a cluster it runs where Snakemake runs, as all downloads do (data.smk).
localrules:
    weights,


rule weights:
    output:
        update(f"{RESOURCES}/weights/{{backbone}}.h5"),
    log:
        f"{RUN}/logs/weights/{{backbone}}.log",
    benchmark:
        f"{RUN}/benchmarks/weights/{{backbone}}.tsv"
    retries: 2
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(60),
    params:
        mirror=config["mirror"],
        mirrored=mirrored("weights"),
        code=code("features/weights"),
    message:
        "Fetching the ImageNet weights of {wildcards.backbone}"
    script:
        "../scripts/features/weights.py"


rule backbone:
    input:
        weight_file,
    output:
        update(f"{RUN}/backbones/{{backbone}}.keras"),
    log:
        f"{RUN}/logs/backbone/{{backbone}}.log",
    benchmark:
        f"{RUN}/benchmarks/backbone/{{backbone}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(3000),
        runtime=minutes(10),
    params:
        weights=lambda wildcards: config["weights"][wildcards.backbone],
        size=config["image_size"],
        seed=config["seed"],
        pooled_layers=lambda wildcards: config["pooled_layers"].get(
            wildcards.backbone, []
        ),
        code=code("features/backbone"),
    message:
        "Building {wildcards.backbone}"
    script:
        "../scripts/features/backbone.py"


rule features:
    input:
        backbone=f"{RUN}/backbones/{{backbone}}.keras",
        images=f"{RUN}/images/{{cohort}}.npy",
        table=f"{RUN}/data/{{cohort}}.csv",
        # Every synthetic image is for training; of the others only the training images need views.
        holdout=branch(
            lambda wildcards: wildcards.cohort == "manifest",
            then=f"{RUN}/data/holdout.csv",
        ),
    output:
        clean=update(f"{RUN}/features/{{backbone}}/{{cohort}}/clean.npy"),
        views=update(f"{RUN}/features/{{backbone}}/{{cohort}}/views.npy"),
        rows=update(f"{RUN}/features/{{backbone}}/{{cohort}}/rows.csv"),
    log:
        f"{RUN}/logs/features/{{backbone}}_{{cohort}}.log",
    benchmark:
        f"{RUN}/benchmarks/features/{{backbone}}_{{cohort}}.tsv"
    wildcard_constraints:
        cohort=r"manifest|synthetic(_fold\d+)?",
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(6000),
        runtime=minutes(240),
    params:
        trainable=config["training"]["trainable"],
        views=config["views"],
        transform={
            name: value
            for name, value in config["transform"].items()
            if name != "function"
        },
        function=OWN_TRANSFORM,
        function_code=OWN_TRANSFORM and code_digest(OWN_TRANSFORM.rpartition(":")[0]),
        seed=config["seed"],
        mixed_precision=config["performance"]["mixed_precision"],
        code=code("features/features"),
    message:
        "{wildcards.backbone}: features of {wildcards.cohort}.csv and its augmented views"
    script:
        "../scripts/features/features.py"


# The backbone whose features the shortcut controls use.
CONTROL = config["controls"]["backbone"] or BACKBONES[0]


rule control_features:
    input:
        backbone=f"{RUN}/backbones/{CONTROL}.keras",
        images=f"{RUN}/images/manifest.npy",
        lungs=f"{RUN}/images/lungs.npy",
        lungs_table=f"{RUN}/data/lungs.csv",
    output:
        update(f"{RUN}/features/{CONTROL}/controls/{{control}}.npy"),
    log:
        f"{RUN}/logs/control_features/{{control}}.log",
    benchmark:
        f"{RUN}/benchmarks/control_features/{{control}}.tsv"
    wildcard_constraints:
        control="whole|no_lungs|borders",
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(6000),
        runtime=minutes(60),
    params:
        mixed_precision=config["performance"]["mixed_precision"],
        code=code("features/control_features"),
    message:
        f"{CONTROL}: features of the control {{wildcards.control}}"
    script:
        "../scripts/features/control_features.py"


rule external_features:
    input:
        backbone=f"{RUN}/backbones/{{backbone}}.keras",
        images=f"{RUN}/images/external/{{set}}.npy",
    output:
        update(f"{RUN}/features/{{backbone}}/external/{{set}}.npy"),
    log:
        f"{RUN}/logs/external_features/{{backbone}}_{{set}}.log",
    benchmark:
        f"{RUN}/benchmarks/external_features/{{backbone}}_{{set}}.tsv"
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(6000),
        runtime=minutes(60),
    params:
        trainable=config["training"]["trainable"],
        mixed_precision=config["performance"]["mixed_precision"],
        code=code("features/external_features"),
    message:
        "{wildcards.backbone}: features of the external set {wildcards.set}"
    script:
        "../scripts/features/external_features.py"
