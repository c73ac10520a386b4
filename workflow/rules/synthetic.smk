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
