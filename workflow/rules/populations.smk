"""What tells the classes apart beside disease, and how models fare on other populations."""


rule attributes:
    input:
        manifest=f"{RUN}/data/manifest.csv",
        images=f"{RUN}/images/manifest.npy",
    output:
        update(f"{RUN}/data/attributes.csv"),
    log:
        f"{RUN}/logs/attributes.log",
    benchmark:
        f"{RUN}/benchmarks/attributes.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(20),
    params:
        age_groups={
            name: options["age_group"]
            for name, options in config["sources"].items()
            if "age_group" in options
        },
        code=code("evaluate/attributes"),
    message:
        "Measuring what is not the disease"
    script:
        "../scripts/evaluate/attributes.py"


rule confounding:
    input:
        ensembles=every_model(
            f"{RUN}/predictions/{{backbone}}/{{augmentation}}/{{model}}.csv",
            models=ENSEMBLE,
        ),
        attributes=f"{RUN}/data/attributes.csv",
    output:
        **figure("confounding", "Data", "Confounding audit"),
        table=table("confounding", "Confounding audit"),
    log:
        f"{RUN}/logs/confounding.log",
    benchmark:
        f"{RUN}/benchmarks/confounding.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(20),
    params:
        models=with_names(
            f"{RUN}/predictions/{{backbone}}/{{augmentation}}/{{model}}.csv",
            ENSEMBLE,
            names=2,
        ),
        classes=CLASSES,
        seed=config["seed"],
        code=code("evaluate/confounding"),
    message:
        "Confounding audit: predicting the label without the disease"
    script:
        "../scripts/evaluate/confounding.py"


REPORT_TABLES.append(f"{RUN}/tables/confounding.csv")
REPORT_FIGURES.append("confounding")
