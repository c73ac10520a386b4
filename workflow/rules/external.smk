"""External test sets: images that no model of the run has seen, scored by every model."""


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


rule score:
    input:
        models=expand(
            f"{RUN}/models/{{backbone}}/{{augmentation}}/{{model}}.keras",
            model=FOLDS,
            allow_missing=True,
        ),
        backbone=f"{RUN}/backbones/{{backbone}}.keras",
        features=f"{RUN}/features/{{backbone}}/external/{{set}}.npy",
        table=f"{RUN}/data/external/{{set}}.csv",
    output:
        update(
            expand(
                f"{RUN}/predictions/external/{{set}}/{{backbone}}/{{augmentation}}/{{model}}.csv",
                model=FOLDS + ENSEMBLE,
                allow_missing=True,
            )
        ),
    log:
        f"{RUN}/logs/score/{{set}}_{{backbone}}_{{augmentation}}.log",
    benchmark:
        f"{RUN}/benchmarks/score/{{set}}_{{backbone}}_{{augmentation}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1 if HEAD_ONLY else THREADS
    resources:
        gpu=0 if HEAD_ONLY else 1,
        mem_mb=memory(3000),
        runtime=minutes(30),
    params:
        folds=FOLDS,
        classes=CLASSES,
        trainable=config["training"]["trainable"],
        code=code("classify/score"),
    message:
        "Scoring {wildcards.backbone} {wildcards.augmentation} on {wildcards.set}"
    script:
        "../scripts/classify/score.py"


rule score_baseline:
    input:
        models=f"{RUN}/models/{{backbone}}/{{baseline}}.joblib",
        features=f"{RUN}/features/{{backbone}}/external/{{set}}.npy",
        table=f"{RUN}/data/external/{{set}}.csv",
    output:
        update(
            expand(
                f"{RUN}/predictions/external/{{set}}/{{backbone}}/{{baseline}}/{{model}}.csv",
                model=FOLDS + ENSEMBLE,
                allow_missing=True,
            )
        ),
    log:
        f"{RUN}/logs/score_baseline/{{set}}_{{backbone}}_{{baseline}}.log",
    benchmark:
        f"{RUN}/benchmarks/score_baseline/{{set}}_{{backbone}}_{{baseline}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        folds=FOLDS,
        classes=CLASSES,
        code=code("classify/score_baseline"),
    message:
        "Scoring {wildcards.backbone} {wildcards.baseline} on {wildcards.set}"
    script:
        "../scripts/classify/score_baseline.py"
