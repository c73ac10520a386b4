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


# The cross-population matrix: the run's features and its one split serve models of every population.
MATRIX = [
    f"{RUN}/tables/matrix.csv",
    f"{RUN}/figures/matrix.png",
    f"{RUN}/figures/matrix.svg",
]


use rule train as population_train with:
    input:
        backbone=f"{RUN}/backbones/{{backbone}}.keras",
        clean=f"{RUN}/features/{{backbone}}/manifest/clean.npy",
        views=f"{RUN}/features/{{backbone}}/manifest/views.npy",
        rows=f"{RUN}/features/{{backbone}}/manifest/rows.csv",
        manifest=f"{RUN}/data/manifest.csv",
        split=SPLIT,
    output:
        model=update(
            f"{POPULATION}/models/{{backbone}}/{{augmentation}}/{{fold}}.keras"
        ),
        history=update(
            f"{POPULATION}/history/{{backbone}}/{{augmentation}}/{{fold}}.csv"
        ),
        predictions=update(
            f"{POPULATION}/predictions/{{backbone}}/{{augmentation}}/{{fold}}.csv"
        ),
    log:
        f"{RUN}/logs/population_train/{{population}}_{{backbone}}_{{augmentation}}_{{fold}}.log",
    benchmark:
        f"{RUN}/benchmarks/population_train/{{population}}_{{backbone}}_{{augmentation}}_{{fold}}.tsv"
    message:
        "Training {wildcards.backbone} {wildcards.augmentation} {wildcards.fold} on {wildcards.population}"


use rule ensemble as population_ensemble with:
    input:
        predictions=expand(
            f"{POPULATION}/predictions/{{backbone}}/{{augmentation}}/{{model}}.csv",
            model=FOLDS,
            allow_missing=True,
        ),
        split=SPLIT,
    output:
        update(f"{POPULATION}/predictions/{{backbone}}/{{augmentation}}/ensemble.csv"),
    log:
        f"{RUN}/logs/population_ensemble/{{population}}_{{backbone}}_{{augmentation}}.log",
    benchmark:
        f"{RUN}/benchmarks/population_ensemble/{{population}}_{{backbone}}_{{augmentation}}.tsv"
    message:
        "Averaging the folds of {wildcards.backbone} {wildcards.augmentation} on {wildcards.population}"


use rule score as population_score with:
    input:
        models=expand(
            f"{POPULATION}/models/{{backbone}}/{{augmentation}}/{{model}}.keras",
            model=FOLDS,
            allow_missing=True,
        ),
        backbone=f"{RUN}/backbones/{{backbone}}.keras",
        features=f"{RUN}/features/{{backbone}}/external/{{set}}.npy",
        table=f"{RUN}/data/external/{{set}}.csv",
    output:
        update(
            expand(
                f"{POPULATION}/predictions/external/{{set}}/{{backbone}}/{{augmentation}}/{{model}}.csv",
                model=FOLDS + ENSEMBLE,
                allow_missing=True,
            )
        ),
    log:
        f"{RUN}/logs/population_score/{{population}}_{{set}}_{{backbone}}_{{augmentation}}.log",
    benchmark:
        f"{RUN}/benchmarks/population_score/{{population}}_{{set}}_{{backbone}}_{{augmentation}}.tsv"
    message:
        "Scoring {wildcards.backbone} {wildcards.augmentation} of {wildcards.population} on {wildcards.set}"


use rule logistic as population_logistic with:
    input:
        clean=f"{RUN}/features/{{backbone}}/manifest/clean.npy",
        rows=f"{RUN}/features/{{backbone}}/manifest/rows.csv",
        manifest=f"{RUN}/data/manifest.csv",
        split=SPLIT,
    output:
        models=update(f"{POPULATION}/models/{{backbone}}/logistic.joblib"),
        folds=[
            update(f"{POPULATION}/predictions/{{backbone}}/logistic/{model}.csv")
            for model in FOLDS
        ],
        ensemble=update(f"{POPULATION}/predictions/{{backbone}}/logistic/ensemble.csv"),
        choice=update(f"{POPULATION}/history/{{backbone}}/logistic.csv"),
    log:
        f"{RUN}/logs/population_logistic/{{population}}_{{backbone}}.log",
    benchmark:
        f"{RUN}/benchmarks/population_logistic/{{population}}_{{backbone}}.tsv"
    message:
        "Logistic regression on the features of {wildcards.backbone} of {wildcards.population}"


use rule support_vector as population_support_vector with:
    input:
        clean=f"{RUN}/features/{{backbone}}/manifest/clean.npy",
        rows=f"{RUN}/features/{{backbone}}/manifest/rows.csv",
        manifest=f"{RUN}/data/manifest.csv",
        split=SPLIT,
    output:
        models=update(f"{POPULATION}/models/{{backbone}}/support_vector.joblib"),
        folds=[
            update(f"{POPULATION}/predictions/{{backbone}}/support_vector/{model}.csv")
            for model in FOLDS
        ],
        ensemble=update(
            f"{POPULATION}/predictions/{{backbone}}/support_vector/ensemble.csv"
        ),
    log:
        f"{RUN}/logs/population_support_vector/{{population}}_{{backbone}}.log",
    benchmark:
        f"{RUN}/benchmarks/population_support_vector/{{population}}_{{backbone}}.tsv"
    message:
        "Support vector machine on the features of {wildcards.backbone} of {wildcards.population}"


use rule score_baseline as population_score_baseline with:
    input:
        models=f"{POPULATION}/models/{{backbone}}/{{baseline}}.joblib",
        features=f"{RUN}/features/{{backbone}}/external/{{set}}.npy",
        table=f"{RUN}/data/external/{{set}}.csv",
    output:
        update(
            expand(
                f"{POPULATION}/predictions/external/{{set}}/{{backbone}}/{{baseline}}/{{model}}.csv",
                model=FOLDS + ENSEMBLE,
                allow_missing=True,
            )
        ),
    log:
        f"{RUN}/logs/population_score_baseline/{{population}}_{{set}}_{{backbone}}_{{baseline}}.log",
    benchmark:
        f"{RUN}/benchmarks/population_score_baseline/{{population}}_{{set}}_{{backbone}}_{{baseline}}.tsv"
    message:
        "Scoring {wildcards.backbone} {wildcards.baseline} of {wildcards.population} on {wildcards.set}"


rule matrix_table:
    input:
        predictions=[record[-1] for record in population_models()],
        manifest=f"{RUN}/data/manifest.csv",
        split=f"{RUN}/data/split.csv",
    output:
        **figure("matrix", "Models", "Cross-population matrix"),
        table=table("matrix", "Cross-population matrix"),
    log:
        f"{RUN}/logs/matrix_table.log",
    benchmark:
        f"{RUN}/benchmarks/matrix_table.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        models=population_models(),
        populations=POPULATIONS,
        classes=CLASSES,
        target=config["cyclegan"]["target_class"],
        seed=config["seed"],
        code=code("evaluate/matrix_table"),
    message:
        "Testing the models of each population on every population"
    script:
        "../scripts/evaluate/matrix_table.py"


if POPULATIONS:
    REPORT_TABLES.append(f"{RUN}/tables/matrix.csv")
    REPORT_FIGURES.append("matrix")
