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
