"""From the table of all predictions to scores, tables, figures 1, 3, 4 and 5, and audits of the data."""

SCORES = f"{RUN}/tables/scores.csv"
CLASSIFICATION = f"{RUN}/tables/classification.csv"
MATRIX = [f"{RUN}/{name}" for name in ("tables/matrix.csv", "figures/matrix.png")]
# Features of unaltered images are in the bank already where it holds pooled features.
WHOLE = f"{RUN}/features/{CONTROL}/" + (
    "manifest/clean.npy" if HEAD_ONLY else "controls/whole.npy"
)


rule scores:
    input:
        predictions=PREDICTIONS,
        manifest=f"{RUN}/data/manifest.csv",
    output:
        table=update(SCORES),
    resources:
        **job(2000, 60),
    params:
        classes=CLASSES,
        populations=SOURCES_OF if POPULATIONS else {},
        seed=config["seed"],
        step=step("evaluate/scores"),
    message:
        "Scoring all models on all sets"
    script:
        "../scripts/run.py"


rule classification:
    input:
        scores=SCORES,
    output:
        table=table("classification", "Every model"),
        section=section("classification"),
    resources:
        **job(500, 5),
    params:
        classes=CLASSES,
        step=step("evaluate/classification"),
    message:
        "Setting out accuracy, precision, recall and F1"
    script:
        "../scripts/run.py"


rule fig5_confusion:
    input:
        predictions=PREDICTIONS,
    output:
        **figure("fig5_confusion", "Models", "5 Confusion matrices"),
        section=section("confusion"),
    resources:
        **job(1000, 5),
    params:
        classes=CLASSES,
        step=step("evaluate/fig5_confusion"),
    message:
        "Figure 5: confusion matrices"
    script:
        "../scripts/run.py"


rule published:
    input:
        classification=CLASSIFICATION,
        models=f"{RUN}/tables/models.csv",
        published=PUBLISHED,
    output:
        accuracy=table("published_accuracy", "Table 1: beside the published figures"),
        comparison=table("published_comparison", "Table 2: beside other systems"),
        section=section("published"),
    resources:
        **job(500, 5),
    params:
        untrained=[name for name in BACKBONES if WEIGHTS[name] == "random"],
        step=step("evaluate/published"),
    message:
        "Setting the results beside the published ones"
    script:
        "../scripts/run.py"


rule comparisons:
    input:
        predictions=PREDICTIONS,
    output:
        table=table("comparisons", "Every pair of ensembles"),
        section=section("comparisons"),
    resources:
        **job(1000, 30),
    params:
        classes=CLASSES,
        seed=config["seed"],
        step=step("evaluate/comparisons"),
    message:
        "Comparing the ensembles"
    script:
        "../scripts/run.py"


rule calibration:
    input:
        predictions=PREDICTIONS,
    output:
        **figure("calibration", "Models", "Reliability"),
        table=table("calibration", "Calibration"),
        bins=update(f"{RUN}/tables/reliability.csv"),
        section=section("calibration"),
    resources:
        **job(1000, 15),
    params:
        classes=CLASSES,
        seed=config["seed"],
        step=step("evaluate/calibration"),
    message:
        "Measuring the calibration of the ensembles"
    script:
        "../scripts/run.py"


rule operating_point:
    input:
        predictions=PREDICTIONS,
    output:
        **figure("operating_point", "Models", "Operating points"),
        points=table("operating_point", "Operating points"),
        predictive=table("predictive_values", "Predictive values"),
        section=section("operating_point"),
    resources:
        **job(1000, 15),
    params:
        classes=CLASSES,
        target=operating_class(config),
        goal=config["operating_point"],
        seed=config["seed"],
        step=step("evaluate/operating_point"),
    message:
        "Choosing thresholds on the out-of-fold predictions"
    script:
        "../scripts/run.py"


rule within_source:
    input:
        predictions=PREDICTIONS,
        tables=TABLES,
    output:
        **figure("within_source", "Models", "Within one source"),
        table=table("within_source", "Measures within one source"),
        section=section("within_source"),
    resources:
        **job(1000, 15),
    params:
        classes=CLASSES,
        target=operating_class(config),
        seed=config["seed"],
        step=step("evaluate/within_source"),
    message:
        "Measuring the ensembles with the source held fixed"
    script:
        "../scripts/run.py"


rule leave_site_out:
    input:
        predictions=PREDICTIONS,
        images=[f"{RUN}/data/manifest.csv", f"{RUN}/data/split.csv"],
    output:
        **figure("leave_site_out", "Models", "At a site never seen"),
        table=table("leave_site_out", "Measures at sites never seen"),
        section=section("leave_site_out", when=BY_SITE),
    resources:
        **job(1000, 20),
    params:
        classes=CLASSES,
        target=operating_class(config),
        seed=config["seed"],
        step=step("evaluate/leave_site_out"),
    message:
        "Measuring the ensembles at sites that they never saw"
    script:
        "../scripts/run.py"


rule split_comparison:
    input:
        clean=expand(bank("manifest")[0], backbone=BACKBONES),
        rows=expand(bank("manifest")[2], backbone=BACKBONES),
        models=expand(
            CLASSIFIER, population="study", backbone=BACKBONES, classifier="logistic"
        ),
        manifest=f"{RUN}/data/manifest.csv",
    output:
        table=table("split_comparison", "Image-level and patient-disjoint splits"),
        draws=update(f"{RUN}/tables/split_comparison_draws.csv"),
        section=section("split_comparison", when=ON_FEATURES),
    # Its matrices are small: more threads make it slower by far.
    threads: 1
    resources:
        **job(2000, 60),
    params:
        settings=dict(
            backbones=BACKBONES,
            classes=CLASSES,
            seed=config["seed"],
            **select(config["split"], "test", "comparisons"),
            **select(config["training"], "class_weights", "source_weights"),
        ),
        step=step("evaluate/split_comparison"),
    message:
        "Comparing image-level with patient-disjoint splits"
    script:
        "../scripts/run.py"


rule fig1_diagnoses:
    input:
        collections=f"{RUN}/data/collections.csv",
        manifest=f"{RUN}/data/manifest.csv",
    output:
        **figure("fig1_diagnoses", "Data", "1 Diagnoses"),
        section=section("diagnoses"),
    resources:
        **job(1000, 5),
    params:
        step=step("evaluate/fig1_diagnoses"),
    message:
        "Figure 1: diagnoses in the collections"
    script:
        "../scripts/run.py"


rule architecture:
    input:
        summaries=expand(f"{RUN}/backbones/{{backbone}}.json", backbone=BACKBONES),
        heads=every_model(HEAD, population="study", fold=FOLDS[0]),
    output:
        **figure("fig3_architecture", "Models", "3 Architecture"),
        table=table("models", "Sizes and parameters"),
        section=section("architecture"),
    resources:
        **job(1000, 5),
    params:
        models=HEADS,
        step=step("evaluate/architecture"),
    message:
        "Figure 3: architecture, and the size of the models"
    script:
        "../scripts/run.py"


rule fig4_loss:
    input:
        histories=every_model(HISTORY, population="study", fold=FOLDS),
    output:
        **figure("fig4_loss", "Models", "4 Training loss"),
        section=section("loss"),
    resources:
        **job(1000, 5),
    params:
        models=[head for head in HEADS for _ in FOLDS],
        step=step("evaluate/fig4_loss"),
    message:
        "Figure 4: training loss"
    script:
        "../scripts/run.py"


rule attributes:
    input:
        manifest=f"{RUN}/data/manifest.csv",
        images=f"{RUN}/images/manifest.npy",
    output:
        table=update(f"{RUN}/data/attributes.csv"),
    resources:
        **job(1000, 20),
    params:
        age_groups={
            name: options["age_group"]
            for name, options in config["sources"].items()
            if "age_group" in options
        },
        step=step("evaluate/attributes"),
    message:
        "Measuring what is not the disease"
    script:
        "../scripts/run.py"


rule confounding:
    input:
        attributes=f"{RUN}/data/attributes.csv",
        predictions=PREDICTIONS,
    output:
        **figure("confounding", "Data", "Confounding audit"),
        table=table("confounding", "Confounding audit"),
        section=section("confounding"),
    resources:
        **job(1000, 20),
    params:
        classes=CLASSES,
        seed=config["seed"],
        step=step("evaluate/confounding"),
    message:
        "Confounding audit: predicting the label without the disease"
    script:
        "../scripts/run.py"


rule population_matrix:
    input:
        scores=SCORES,
    output:
        **figure("matrix", "Models", "Cross-population matrix"),
        table=table("matrix", "Cross-population matrix"),
        section=section("matrix", when=POPULATIONS),
    resources:
        **job(1000, 10),
    params:
        populations=["study", *POPULATIONS],
        target=config["cyclegan"]["target_class"],
        step=step("evaluate/population_matrix"),
    message:
        "Testing the models of each population on every population"
    script:
        "../scripts/run.py"


rule external_scores:
    input:
        scores=SCORES,
        points=f"{RUN}/tables/operating_point.csv",
        images=EXTERNAL_TABLES,
        excluded=expand(f"{RUN}/data/excluded/{{set}}.csv", set=EXTERNAL),
    output:
        table=table("external", "External test sets"),
        counts=update(f"{RUN}/tables/external_sets.csv"),
        section=section("external", when=EXTERNAL),
    resources:
        **job(1000, 20),
    params:
        sets=EXTERNAL,
        classes=CLASSES,
        step=step("evaluate/external_scores"),
    message:
        "Setting the results on external sets beside the run's own"
    script:
        "../scripts/run.py"


rule leakage:
    input:
        tables=TABLES,
        images=[
            f"{RUN}/images/manifest.npy",
            *expand(f"{RUN}/images/external/{{set}}.npy", set=EXTERNAL),
        ],
        split=f"{RUN}/data/split.csv",
    output:
        findings=table("leakage", "Leakage audit: findings"),
        summary=update(f"{RUN}/tables/leakage_summary.csv"),
        section=section("leakage"),
    resources:
        **job(2000, 30),
    params:
        sets=EXTERNAL,
        sources={
            name: select(options, "type", "table")
            for name, options in config["sources"].items()
        },
        step=step("evaluate/leakage"),
    message:
        "Looking for patients and copies on both sides"
    script:
        "../scripts/run.py"


rule controls:
    input:
        tables=TABLES if HEAD_ONLY else TABLES[:1],
        split=f"{RUN}/data/split.csv",
        images=f"{RUN}/images/manifest.npy",
        whole=[
            WHOLE,
            *expand(
                EXTERNAL_FEATURES, backbone=CONTROL, set=EXTERNAL if HEAD_ONLY else []
            ),
        ],
        altered=expand(
            f"{RUN}/features/{CONTROL}/controls/{{control}}.npy",
            control=["no_lungs", "borders"],
        ),
        classification=CLASSIFICATION,
    output:
        table=table("controls", "Shortcut controls"),
        sources=update(f"{RUN}/tables/sources.csv"),
        section=section("shortcuts"),
    resources:
        **job(2000, 30),
    params:
        settings=dict(classes=CLASSES, backbone=CONTROL, seed=config["seed"]),
        step=step("evaluate/controls"),
    message:
        "Scoring the shortcut controls"
    script:
        "../scripts/run.py"
