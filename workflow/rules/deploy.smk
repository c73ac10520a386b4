"""Trained models for other devices."""

# Without a list, the target `export` makes all; the report then says nothing of them.
EXPORTED = config["export"] or BACKBONES
EXPORTED_MODEL = FOLDS[0]


rule export_model:
    input:
        model=f"{RUN}/models/study/{{backbone}}/{{augmentation}}/{EXPORTED_MODEL}.keras",
        manifest=f"{RUN}/data/manifest.csv",
        split=f"{RUN}/data/split.csv",
        images=f"{RUN}/images/manifest.npy",
    output:
        float32=update(f"{RUN}/export/{{backbone}}/{{augmentation}}/float32.tflite"),
        float16=update(f"{RUN}/export/{{backbone}}/{{augmentation}}/float16.tflite"),
        int8=update(f"{RUN}/export/{{backbone}}/{{augmentation}}/int8.tflite"),
        table=update(f"{RUN}/export/{{backbone}}/{{augmentation}}/measured.csv"),
    log:
        f"{RUN}/logs/export_model/{{backbone}}_{{augmentation}}.log",
    benchmark:
        f"{RUN}/benchmarks/export_model/{{backbone}}_{{augmentation}}.tsv"
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(6000),
        runtime=minutes(60),
    params:
        classes=CLASSES,
        seed=config["seed"],
        code=code("deploy/export_model"),
    message:
        "Exporting {wildcards.backbone} {wildcards.augmentation} to LiteRT"
    script:
        "../scripts/deploy/export_model.py"


rule export_table:
    input:
        tables=expand(
            f"{RUN}/export/{{backbone}}/{SHOWN}/measured.csv", backbone=EXPORTED
        ),
        published=PUBLISHED,
    output:
        table("export", "models for other devices"),
    log:
        f"{RUN}/logs/export_table.log",
    benchmark:
        f"{RUN}/benchmarks/export_table.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(500),
        runtime=minutes(5),
    params:
        models=[(backbone, SHOWN, EXPORTED_MODEL) for backbone in EXPORTED],
        code=code("deploy/export_table"),
    message:
        "Table of the exported models"
    script:
        "../scripts/deploy/export_table.py"


if config["export"]:
    REPORT_TABLES += [f"{RUN}/tables/export.csv"]
