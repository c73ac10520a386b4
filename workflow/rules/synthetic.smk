"""What the synthetic images are, and whether they help."""


rule audit_features:
    input:
        features=expand(
            f"{RUN}/features/{{backbone}}/manifest/clean.npy", backbone=BACKBONES
        ),
        synthetic_features=expand(
            f"{RUN}/features/{{backbone}}/synthetic/clean.npy", backbone=BACKBONES
        ),
        manifest=f"{RUN}/data/manifest.csv",
        holdout=f"{RUN}/data/holdout.csv",
        synthetic=f"{RUN}/data/synthetic.csv",
    output:
        **figure("audit_features", "CycleGAN", "Synthetic images in feature space"),
        table=table("audit_features", "Synthetic images in feature space"),
        neighbours=update(f"{RUN}/tables/audit_neighbours.csv"),
    log:
        f"{RUN}/logs/audit_features.log",
    benchmark:
        f"{RUN}/benchmarks/audit_features.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(2000),
        runtime=minutes(15),
    params:
        backbones=BACKBONES,
        seed=config["seed"],
        code=code("evaluate/audit_features"),
    message:
        "Auditing the synthetic images in feature space"
    script:
        "../scripts/evaluate/audit_features.py"


rule audit_changes:
    input:
        manifest=f"{RUN}/data/manifest.csv",
        holdout=f"{RUN}/data/holdout.csv",
        images=f"{RUN}/images/manifest.npy",
        synthetic=f"{RUN}/data/synthetic.csv",
        synthetic_images=f"{RUN}/images/synthetic.npy",
        lungs=f"{RUN}/images/lungs.npy",
        lungs_table=f"{RUN}/data/lungs.csv",
    output:
        **figure("audit_changes", "CycleGAN", "What the translation changes"),
        table=update(f"{RUN}/tables/audit_changes.csv"),
        summary=table("audit_summary", "What the translation changes"),
    log:
        f"{RUN}/logs/audit_changes.log",
    benchmark:
        f"{RUN}/benchmarks/audit_changes.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        size=config["cyclegan"]["image_size"],
        seed=config["seed"],
        code=code("evaluate/audit_changes"),
    message:
        "Comparing translations with their sources"
    script:
        "../scripts/evaluate/audit_changes.py"


# What feature space tells of images needs features, which `trainable: all` does without.
if SYNTHETIC and config["training"]["trainable"] != "all":
    REPORT_TABLES += [
        f"{RUN}/tables/{name}.csv" for name in ("audit_features", "audit_neighbours")
    ]
    REPORT_FIGURES.append("audit_features")
if SYNTHETIC:
    REPORT_TABLES += [
        f"{RUN}/tables/{name}.csv" for name in ("audit_summary", "audit_changes")
    ]
    REPORT_FIGURES.append("audit_changes")


# Cheap because a head on cached features trains in a second; other settings have nothing cached to repeat on.
REPEATS = config["repeats"] if SYNTHETIC and HEAD_ONLY else 0


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


rule synthetic_effect:
    input:
        expand(f"{RUN}/repeats/{{backbone}}.csv", backbone=BACKBONES),
    output:
        **figure("synthetic_effect", "CycleGAN", "Do synthetic images help?"),
        table=table("synthetic_effect", "Do synthetic images help?"),
        repeats=update(f"{RUN}/tables/synthetic_effect_repeats.csv"),
        detectable=update(f"{RUN}/tables/detectable_effect.csv"),
    log:
        f"{RUN}/logs/synthetic_effect.log",
    benchmark:
        f"{RUN}/benchmarks/synthetic_effect.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        backbones=BACKBONES,
        classes=CLASSES,
        target_class=config["cyclegan"]["target_class"],
        synthetic_arms=[
            name
            for name, settings in config["augmentations"].items()
            if settings["synthetic"]
        ],
        seed=config["seed"],
        code=code("evaluate/synthetic_effect"),
    message:
        "Comparing training with and without synthetic images"
    script:
        "../scripts/evaluate/synthetic_effect.py"


if REPEATS:
    REPORT_TABLES += [
        f"{RUN}/tables/{name}.csv"
        for name in (
            "synthetic_effect",
            "synthetic_effect_repeats",
            "detectable_effect",
        )
    ]
    REPORT_FIGURES.append("synthetic_effect")
