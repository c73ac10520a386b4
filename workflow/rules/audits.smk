"""Audits: leakage across the division of the images, and shortcuts that need no lungs."""


rule leakage:
    input:
        manifest=f"{RUN}/data/manifest.csv",
        split=f"{RUN}/data/split.csv",
        images=f"{RUN}/images/manifest.npy",
        features=f"{RUN}/features/{BACKBONES[0]}/manifest/clean.npy",
        tables=expand(f"{RUN}/data/external/{{set}}.csv", set=EXTERNAL),
        set_images=expand(f"{RUN}/images/external/{{set}}.npy", set=EXTERNAL),
        set_features=expand(
            f"{RUN}/features/{BACKBONES[0]}/external/{{set}}.npy", set=EXTERNAL
        ),
    output:
        findings=table("leakage", "Leakage audit: findings"),
        summary=update(f"{RUN}/tables/leakage_summary.csv"),
    log:
        f"{RUN}/logs/leakage.log",
    benchmark:
        f"{RUN}/benchmarks/leakage.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        sets=EXTERNAL,
        sources={
            name: {key: options[key] for key in ("type", "table") if key in options}
            for name, options in config["sources"].items()
        },
        code=code("evaluate/leakage"),
    message:
        "Looking for patients and copies on both sides"
    script:
        "../scripts/evaluate/leakage.py"


REPORT_TABLES += [f"{RUN}/tables/leakage.csv", f"{RUN}/tables/leakage_summary.csv"]


CONTROL = config["controls"]["backbone"] or BACKBONES[0]
# Unaltered films are in the feature bank already where it holds pooled features.
WHOLE = f"{RUN}/features/{CONTROL}/" + (
    "manifest/clean.npy" if HEAD_ONLY else "controls/whole.npy"
)


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


rule controls:
    input:
        manifest=f"{RUN}/data/manifest.csv",
        split=f"{RUN}/data/split.csv",
        images=f"{RUN}/images/manifest.npy",
        features=[
            WHOLE,
            f"{RUN}/features/{CONTROL}/controls/no_lungs.npy",
            f"{RUN}/features/{CONTROL}/controls/borders.npy",
        ],
        tables=expand(
            f"{RUN}/data/external/{{set}}.csv", set=EXTERNAL if HEAD_ONLY else []
        ),
        set_features=expand(
            f"{RUN}/features/{CONTROL}/external/{{set}}.npy",
            set=EXTERNAL if HEAD_ONLY else [],
        ),
    output:
        controls=table("controls", "Shortcut controls"),
        sources=update(f"{RUN}/tables/told_sources.csv"),
    log:
        f"{RUN}/logs/controls.log",
    benchmark:
        f"{RUN}/benchmarks/controls.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        controls=["whole", "no_lungs", "borders"],
        sets=EXTERNAL if HEAD_ONLY else [],
        classes=CLASSES,
        seed=config["seed"],
        code=code("evaluate/controls"),
    message:
        "Scoring the shortcut controls"
    script:
        "../scripts/evaluate/controls.py"


REPORT_TABLES += [f"{RUN}/tables/controls.csv", f"{RUN}/tables/told_sources.csv"]
