"""Trained models for other devices."""

# Without a list, the target `export` makes all; the report then says nothing of them.
EXPORTED = config["export"] or BACKBONES
EXPORT = f"{RUN}/export/{{backbone}}/{{augmentation}}"


rule export_model:
    input:
        model=ENSEMBLE,
        study=STUDY,
        predictions=expand(
            FOLD_PREDICTIONS, population="study", fold=FOLDS, allow_missing=True
        ),
    output:
        files=update(
            multiext(f"{EXPORT}/", "float32.tflite", "float16.tflite", "int8.tflite")
        ),
        table=update(f"{EXPORT}/measured.csv"),
    threads: THREADS
    resources:
        **job(6000, 60, gpu=1),
    params:
        classes=CLASSES,
        seed=config["seed"],
        step=step("deploy/export_model"),
    message:
        "Exporting {wildcards.backbone} {wildcards.augmentation} to LiteRT"
    script:
        "../scripts/run.py"


rule export_table:
    input:
        tables=expand(f"{EXPORT}/measured.csv", backbone=EXPORTED, augmentation=SHOWN),
        published=PUBLISHED,
    output:
        table=table("export", "models for other devices"),
        section=section("export", when=bool(config["export"])),
    resources:
        **job(500, 5),
    params:
        step=step("deploy/export_table"),
    message:
        "Table of the exported models"
    script:
        "../scripts/run.py"


rule release:
    input:
        model=ENSEMBLE,
        images=[f"{RUN}/data/manifest.csv", f"{RUN}/data/split.csv"],
        scores=SCORES,
    output:
        release=update(f"{RUN}/release/{{backbone}}_{{augmentation}}.keras"),
    resources:
        **job(1000, 5),
    params:
        title=config["title"],
        notice=config["notice"],
        seed=config["seed"],
        step=step("deploy/release"),
    message:
        "Putting its card into {wildcards.backbone} {wildcards.augmentation}"
    script:
        "../scripts/run.py"
