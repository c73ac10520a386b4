"""Severity: readers' scores and outcomes learned from the zones of the lungs."""

from covidcxr.severity.score_table import mirrored as mirrored_scores

SCORED = config["scores"]
OUTCOMES = config["outcomes"]
SEVERITY = f"{RUN}/severity/{{backbone}}"
SEVERITY_BACKBONES = config["severity"]["backbones"] or BACKBONES


SCORED_SOURCES = {
    part["source"]: config["sources"][part["source"]] for part in SCORED_PARTS
}


rule score_table:
    output:
        table=update(f"{RESOURCES}/scores/{{name}}.csv"),
    wildcard_constraints:
        name="|".join(PUBLIC_SCORES),
    retries: 2
    localrule: True
    resources:
        **job(500, 10),
    params:
        mirror=config["mirror"],
        content=lambda wildcards: mirrored(*mirrored_scores(wildcards.name)),
        step=step("severity/score_table"),
    message:
        "Fetching the scores {wildcards.name}"
    script:
        "../scripts/run.py"


rule severity_images:
    input:
        lambda wildcards: own_files_of(SCORED_SOURCES),
        lambda wildcards: [
            table if spec["table"] in PUBLIC_SCORES else local(table)
            for spec in SCORED.values()
            if spec["table"]
            for table in [score_table_of(spec)["table"]]
        ],
        folders=folders_of(SCORED_SOURCES),
    output:
        images=update(f"{RUN}/data/severity.csv"),
        scores=update(f"{RUN}/data/severity_scores.csv"),
        excluded=update(f"{RUN}/data/severity_excluded.csv"),
    resources:
        **job(2000, 30),
    params:
        sources=SCORED_SOURCES,
        specs={
            name: select(
                spec, "source", "readers", "range", "zones", "zone_range", "where"
            )
            | score_table_of(spec)
            for name, spec in SCORED.items()
        },
        outcomes={
            name: {
                source: part | score_table_of(part)
                for source, part in outcome_parts(spec).items()
            }
            for name, spec in OUTCOMES.items()
        },
        content=lambda wildcards: content_of(SCORED_SOURCES),
        step=step("severity/severity_images"),
    message:
        "Finding the images with scores and outcomes"
    script:
        "../scripts/run.py"


rule severity_features:
    input:
        lung_boxes,
        backbone=f"{RUN}/backbones/{{backbone}}.keras",
        images=f"{RUN}/images/severity.npy",
    output:
        features=update(f"{SEVERITY}/zones.npy"),
    threads: THREADS
    resources:
        **job(4000, 60, gpu=1),
    params:
        layer=lambda wildcards: config["severity"]["layers"].get(wildcards.backbone),
        step=step("severity/severity_features"),
    message:
        "{wildcards.backbone}: features of the zones of the lungs"
    script:
        "../scripts/run.py"


rule severity_model:
    input:
        features=f"{SEVERITY}/zones.npy",
        images=f"{RUN}/data/severity.csv",
        scores=f"{RUN}/data/severity_scores.csv",
    output:
        predictions=update(f"{SEVERITY}/{{score}}.csv"),
        model=update(f"{SEVERITY}/{{score}}.joblib"),
    wildcard_constraints:
        score="|".join(SCORED) or "(?!)",
    resources:
        **job(2000, 30),
    params:
        spec=lambda wildcards: select(
            SCORED[wildcards.score], "range", "zone_range", "zones", "learned_with"
        ),
        layer=lambda wildcards: config["severity"]["layers"].get(wildcards.backbone),
        size=config["image_size"],
        seed=config["seed"],
        step=step("severity/severity_model"),
    message:
        "{wildcards.backbone}: learning {wildcards.score}"
    script:
        "../scripts/run.py"


rule severity:
    """Severity scores, learned from images and held against readers."""
    input:
        predictions=expand(
            f"{SEVERITY}/{{score}}.csv", backbone=SEVERITY_BACKBONES, score=SCORED
        ),
        scores=f"{RUN}/data/severity_scores.csv",
    output:
        **figure("fig_severity", "Severity", "Severity against readers"),
        table=table("severity", "Severity"),
        section=section("severity", when=SCORED),
    resources:
        **job(2000, 20),
    params:
        specs={
            name: select(spec, "range", "zones", "published")
            for name, spec in SCORED.items()
        },
        seed=config["seed"],
        step=step("severity/severity"),
    message:
        "Holding predicted severity against the readers"
    script:
        "../scripts/run.py"


rule outcomes:
    input:
        features=f"{RUN}/severity/{SEVERITY_BACKBONES[0]}/zones.npy",
        images=f"{RUN}/data/severity.csv",
        scores=f"{RUN}/data/severity_scores.csv",
    output:
        table=table("outcomes", "Outcomes"),
        section=section("outcomes", when=OUTCOMES),
    resources:
        **job(2000, 30),
    params:
        held_fixed={name: spec["held_fixed"] for name, spec in OUTCOMES.items()},
        seed=config["seed"],
        step=step("severity/outcomes"),
    message:
        "Predicting outcomes with and without the image"
    script:
        "../scripts/run.py"


ZONED = [name for name, spec in SCORED.items() if spec["zones"]]
TARGET = operating_class(config)


rule severity_maps:
    input:
        lung_boxes,
        models=expand(ENSEMBLE, backbone=BACKBONES, augmentation=SHOWN),
        study=STUDY[:2],
        images=[f"{RUN}/data/severity.csv", f"{RUN}/images/severity.npy"],
        scores=f"{RUN}/data/severity_scores.csv",
        predictions=f"{RUN}/severity/{SEVERITY_BACKBONES[0]}/{(ZONED or [''])[0]}.csv",
    output:
        table=table("severity_maps", "Maps against zones"),
        section=section("severity_maps", when=ZONED),
    threads: THREADS
    resources:
        **job(6000, 60, gpu=1),
    params:
        settings=dict(
            classes=CLASSES,
            target=TARGET,
            diagnoses=[
                name
                for part in config["classes"][TARGET]
                for name in part["where"].get("diagnosis", [])
            ],
            zone_range=SCORED[ZONED[0]]["zone_range"] if ZONED else None,
        ),
        seed=config["seed"],
        step=step("severity/severity_maps"),
    message:
        "Holding heat maps against the zones that readers scored"
    script:
        "../scripts/run.py"


# The first score is followed over days and held against synthetic images.
SEVERITY_OF = f"{RUN}/severity/of/{{name}}.csv"
SEVERITY_KNOWN = expand(SEVERITY_OF, name=["manifest", "timeline"]) if SCORED else []
FOLLOWED_SCORE = next(iter(SCORED), "")


rule severity_of:
    input:
        lung_boxes,
        backbone=f"{RUN}/backbones/{SEVERITY_BACKBONES[0]}.keras",
        model=f"{RUN}/severity/{SEVERITY_BACKBONES[0]}/{FOLLOWED_SCORE}.joblib",
        images=f"{RUN}/images/{{name}}.npy",
        table=f"{RUN}/data/{{name}}.csv",
        predictions=f"{RUN}/severity/{SEVERITY_BACKBONES[0]}/{FOLLOWED_SCORE}.csv",
    output:
        severities=update(SEVERITY_OF),
    wildcard_constraints:
        name="manifest|timeline|synthetic",
    threads: THREADS
    resources:
        **job(4000, 60, gpu=1),
    params:
        step=step("severity/severity_of"),
    message:
        "Severity of the images of {wildcards.name}.csv"
    script:
        "../scripts/run.py"


rule severity_synthetic:
    input:
        manifest=f"{RUN}/data/manifest.csv",
        synthetic=f"{RUN}/data/synthetic.csv",
        of_manifest=SEVERITY_OF.format(name="manifest"),
        of_synthetic=SEVERITY_OF.format(name="synthetic"),
    output:
        table=table("severity_synthetic", "Severity of synthetic images"),
        section=section("severity_synthetic", when=SCORED and SYNTHETIC),
    resources:
        **job(500, 5),
    params:
        target=TARGET,
        seed=config["seed"],
        step=step("severity/severity_synthetic"),
    message:
        "Severity of synthetic images, their sources and real images"
    script:
        "../scripts/run.py"
