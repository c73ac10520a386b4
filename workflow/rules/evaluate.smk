"""Tables from the written predictions, and figures 1 to 5."""

TABLES = [
    f"{RUN}/tables/{name}.csv"
    for name in (
        "classification",
        "published_accuracy",
        "published_comparison",
        "models",
    )
]

SCORED = predictions_of(HEADS + BASELINES, FOLDS + ENSEMBLE)
SCORED_ENSEMBLES = predictions_of(HEADS + BASELINES, ENSEMBLE, names=2)
REPORT_TABLES += [
    f"{RUN}/tables/{name}.csv"
    for name in (*(["baselines"] if BASELINES else []), "intervals", "comparisons")
]
REPORT_TABLES += [
    f"{RUN}/tables/{name}.csv"
    for name in ("calibration", "operating_point", "predictive_values")
]
REPORT_TABLES += [f"{RUN}/tables/split_comparison.csv"] if ON_FEATURES else []
REPORT_FIGURES += ["calibration", "operating_point"]


rule classification:
    input:
        predictions=every_model(
            f"{RUN}/predictions/{{backbone}}/{{augmentation}}/{{model}}.csv",
            models=FOLDS + ENSEMBLE,
        ),
        split=f"{RUN}/data/split.csv",
    output:
        table("classification", "Every model"),
    log:
        f"{RUN}/logs/classification.log",
    benchmark:
        f"{RUN}/benchmarks/classification.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        models=with_names(
            f"{RUN}/predictions/{{backbone}}/{{augmentation}}/{{model}}.csv",
            FOLDS + ENSEMBLE,
        ),
        classes=CLASSES,
        code=code("evaluate/classification"),
    message:
        "Scoring the predictions"
    script:
        "../scripts/evaluate/classification.py"


rule model_table:
    input:
        every_model(
            f"{RUN}/models/{{backbone}}/{{augmentation}}/{{model}}.keras",
            models=FOLDS[:1],
        ),
    output:
        table("models", "Sizes and parameters"),
    log:
        f"{RUN}/logs/model_table.log",
    benchmark:
        f"{RUN}/benchmarks/model_table.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        models=with_names(
            f"{RUN}/models/{{backbone}}/{{augmentation}}/{{model}}.keras",
            FOLDS[:1],
            names=2,
        ),
        code=code("evaluate/model_table"),
    message:
        "Measuring the models"
    script:
        "../scripts/evaluate/model_table.py"


rule published:
    input:
        classification=f"{RUN}/tables/classification.csv",
        models=f"{RUN}/tables/models.csv",
        published=PUBLISHED,
    output:
        accuracy=table("published_accuracy", "Table 1: beside the published figures"),
        comparison=table("published_comparison", "Table 2: beside other systems"),
    log:
        f"{RUN}/logs/published.log",
    benchmark:
        f"{RUN}/benchmarks/published.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(500),
        runtime=minutes(5),
    params:
        code=code("evaluate/published"),
    message:
        "Setting the results beside the published ones"
    script:
        "../scripts/evaluate/published.py"


rule fig1_diagnoses:
    input:
        collections=f"{RUN}/data/collections.csv",
        manifest=f"{RUN}/data/manifest.csv",
    output:
        **figure("fig1_diagnoses", "Data", "1 Diagnoses"),
    log:
        f"{RUN}/logs/fig1_diagnoses.log",
    benchmark:
        f"{RUN}/benchmarks/fig1_diagnoses.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(5),
    params:
        code=code("evaluate/fig1_diagnoses"),
    message:
        "Figure 1: diagnoses in the collections"
    script:
        "../scripts/evaluate/fig1_diagnoses.py"


rule fig3_architecture:
    input:
        expand(
            f"{RUN}/models/{{backbone}}/{AUGMENTATIONS[0]}/fold0.keras",
            backbone=BACKBONES,
        ),
    output:
        **figure("fig3_architecture", "Models", "3 Architecture"),
    log:
        f"{RUN}/logs/fig3_architecture.log",
    benchmark:
        f"{RUN}/benchmarks/fig3_architecture.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        backbones=BACKBONES,
        code=code("evaluate/fig3_architecture"),
    message:
        "Figure 3: architecture"
    script:
        "../scripts/evaluate/fig3_architecture.py"


rule fig4_loss:
    input:
        every_model(f"{RUN}/history/{{backbone}}/{{augmentation}}/{{model}}.csv"),
    output:
        **figure("fig4_loss", "Models", "4 Training loss"),
    log:
        f"{RUN}/logs/fig4_loss.log",
    benchmark:
        f"{RUN}/benchmarks/fig4_loss.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(5),
    params:
        models=with_names(
            f"{RUN}/history/{{backbone}}/{{augmentation}}/{{model}}.csv",
            FOLDS,
            names=2,
        ),
        code=code("evaluate/fig4_loss"),
    message:
        "Figure 4: training loss"
    script:
        "../scripts/evaluate/fig4_loss.py"


rule fig5_confusion:
    input:
        ensembles=every_model(
            f"{RUN}/predictions/{{backbone}}/{{augmentation}}/{{model}}.csv",
            models=ENSEMBLE,
        ),
        split=f"{RUN}/data/split.csv",
    output:
        **figure("fig5_confusion", "Models", "5 Confusion matrices"),
    log:
        f"{RUN}/logs/fig5_confusion.log",
    benchmark:
        f"{RUN}/benchmarks/fig5_confusion.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(5),
    params:
        models=with_names(
            f"{RUN}/predictions/{{backbone}}/{{augmentation}}/{{model}}.csv",
            ENSEMBLE,
            names=2,
        ),
        classes=CLASSES,
        code=code("evaluate/fig5_confusion"),
    message:
        "Figure 5: confusion matrices"
    script:
        "../scripts/evaluate/fig5_confusion.py"


rule baselines:
    input:
        predictions=paths_of(predictions_of(BASELINES, FOLDS + ENSEMBLE)),
        split=f"{RUN}/data/split.csv",
    output:
        table("baselines", "Every baseline"),
    log:
        f"{RUN}/logs/baselines.log",
    benchmark:
        f"{RUN}/benchmarks/baselines.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        models=predictions_of(BASELINES, FOLDS + ENSEMBLE),
        classes=CLASSES,
        code=code("evaluate/baselines"),
    message:
        "Scoring the baselines"
    script:
        "../scripts/evaluate/baselines.py"


rule intervals:
    input:
        predictions=paths_of(SCORED),
        split=f"{RUN}/data/split.csv",
    output:
        table("intervals", "Intervals"),
    log:
        f"{RUN}/logs/intervals.log",
    benchmark:
        f"{RUN}/benchmarks/intervals.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(30),
    params:
        models=SCORED,
        classes=CLASSES,
        seed=config["seed"],
        code=code("evaluate/intervals"),
    message:
        "Drawing patients anew for the intervals of every model"
    script:
        "../scripts/evaluate/intervals.py"


rule comparisons:
    input:
        predictions=paths_of(SCORED_ENSEMBLES),
        split=f"{RUN}/data/split.csv",
    output:
        table("comparisons", "Every pair of ensembles"),
    log:
        f"{RUN}/logs/comparisons.log",
    benchmark:
        f"{RUN}/benchmarks/comparisons.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(30),
    params:
        ensembles=SCORED_ENSEMBLES,
        classes=CLASSES,
        seed=config["seed"],
        code=code("evaluate/comparisons"),
    message:
        "Comparing the ensembles"
    script:
        "../scripts/evaluate/comparisons.py"


rule calibration:
    input:
        predictions=paths_of(SCORED),
        split=f"{RUN}/data/split.csv",
    output:
        **figure("calibration", "Models", "Reliability"),
        table=table("calibration", "Calibration"),
        bins=update(f"{RUN}/tables/reliability.csv"),
    log:
        f"{RUN}/logs/calibration.log",
    benchmark:
        f"{RUN}/benchmarks/calibration.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(15),
    params:
        models=SCORED,
        classes=CLASSES,
        seed=config["seed"],
        code=code("evaluate/calibration"),
    message:
        "Measuring the calibration of the ensembles"
    script:
        "../scripts/evaluate/calibration.py"


rule operating_point:
    input:
        predictions=paths_of(SCORED_ENSEMBLES),
        split=f"{RUN}/data/split.csv",
    output:
        **figure("operating_point", "Models", "Operating points"),
        points=table("operating_point", "Operating points"),
        predictive=table("predictive_values", "Predictive values"),
    log:
        f"{RUN}/logs/operating_point.log",
    benchmark:
        f"{RUN}/benchmarks/operating_point.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(15),
    params:
        ensembles=SCORED_ENSEMBLES,
        classes=CLASSES,
        target=operating_class(config),
        sensitivity=config["operating_point"]["sensitivity"],
        specificity=config["operating_point"]["specificity"],
        seed=config["seed"],
        code=code("evaluate/operating_point"),
    message:
        "Choosing thresholds on the out-of-fold predictions"
    script:
        "../scripts/evaluate/operating_point.py"


rule split_comparison:
    input:
        clean=expand(
            f"{RUN}/features/{{backbone}}/manifest/clean.npy", backbone=BACKBONES
        ),
        rows=expand(
            f"{RUN}/features/{{backbone}}/manifest/rows.csv", backbone=BACKBONES
        ),
        choices=expand(f"{RUN}/history/{{backbone}}/logistic.csv", backbone=BACKBONES),
        manifest=f"{RUN}/data/manifest.csv",
    output:
        summary=table("split_comparison", "Image-level and patient-disjoint splits"),
        repeats=update(f"{RUN}/tables/split_comparison_draws.csv"),
    log:
        f"{RUN}/logs/split_comparison.log",
    benchmark:
        f"{RUN}/benchmarks/split_comparison.tsv"
    conda:
        ENVIRONMENT
    # Its matrices are small: more threads make it slower by far.
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(60),
    params:
        backbones=BACKBONES,
        classes=CLASSES,
        test=config["split"]["test"],
        repeats=config["split"]["comparisons"],
        class_weights=config["training"]["class_weights"],
        source_weights=config["training"]["source_weights"],
        seed=config["seed"],
        code=code("evaluate/split_comparison"),
    message:
        "Comparing image-level with patient-disjoint splits"
    script:
        "../scripts/evaluate/split_comparison.py"


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
        section=section("confounding"),
    resources:
        **job(1000, 20),
    params:
        models=HEADS,
        classes=CLASSES,
        seed=config["seed"],
        step=step("evaluate/confounding"),
    message:
        "Confounding audit: predicting the label without the disease"
    script:
        "../scripts/run.py"
