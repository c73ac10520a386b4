"""Raw collections to a checked manifest, a patient-disjoint split and one array of images."""


# On a cluster it runs where Snakemake runs: compute nodes often have no internet.
rule fetch:
    output:
        folder=update(directory(f"{RESOURCES}/{{source}}")),
    wildcard_constraints:
        source="|".join(placed("fetched")) or "(?!)",
    retries: 2
    localrule: True
    resources:
        **job(500, 240),
    params:
        options=lambda wildcards: config["sources"][wildcards.source],
        select=filters_of,
        mirror=config["mirror"],
        content=content_of_fetched,
        step=step("data/fetch"),
    message:
        "Fetching the images of {wildcards.source}"
    script:
        "../scripts/run.py"


rule phantoms:
    output:
        folder=update(directory(f"{RUN}/phantoms/{{source}}")),
    resources:
        **job(1000, 20),
    params:
        settings=lambda wildcards: config["sources"][wildcards.source],
        seed=config["seed"],
        step=step("data/phantoms"),
    message:
        "Making chest phantoms"
    script:
        "../scripts/run.py"


rule manifest:
    input:
        lambda wildcards: own_files_of(STUDY_SOURCES),
        folders=folders_of(STUDY_SOURCES),
    output:
        manifest=update(f"{RUN}/data/manifest.csv"),
        quarantine=update(f"{RUN}/data/quarantine.csv"),
        timeline=update(f"{RUN}/data/timeline.csv"),
        collections=update(f"{RUN}/data/collections.csv"),
    resources:
        **job(2000, 60),
    params:
        sources=STUDY_SOURCES,
        classes=config["classes"],
        followed=config["timeline"],
        seed=config["seed"],
        content=lambda wildcards: content_of(STUDY_SOURCES),
        step=step("data/manifest"),
    message:
        "Sampling the study's images and checking each"
    script:
        "../scripts/run.py"


rule holdout:
    input:
        manifest=f"{RUN}/data/manifest.csv",
    output:
        holdout=update(f"{RUN}/data/holdout.csv"),
    resources:
        **job(1000, 10),
    params:
        unit=config["split"]["unit"],
        test=config["split"]["test"],
        seed=config["seed"],
        step=step("data/holdout"),
    message:
        "Choosing the test set"
    script:
        "../scripts/run.py"


rule split:
    input:
        manifest=f"{RUN}/data/manifest.csv",
        holdout=f"{RUN}/data/holdout.csv",
    output:
        split=update(f"{RUN}/data/split.csv"),
    resources:
        **job(1000, 10),
    params:
        unit=config["split"]["unit"],
        folds=config["split"]["folds"],
        seed=config["seed"],
        step=step("data/split"),
    message:
        "Dividing the training set into folds"
    script:
        "../scripts/run.py"


rule population:
    input:
        manifest=f"{RUN}/data/manifest.csv",
        split=f"{RUN}/data/split.csv",
    output:
        chosen=update(SPLIT),
    resources:
        **job(500, 5),
    params:
        sources=lambda wildcards: SOURCES_OF[wildcards.population],
        folds=lambda wildcards: (
            config["split"]["folds"] if wildcards.population == "by_patient" else None
        ),
        seed=config["seed"],
        step=step("data/population"),
    message:
        "Choosing the images of population {wildcards.population}"
    script:
        "../scripts/run.py"


rule external:
    input:
        lambda wildcards: own_files_of(sources_of_set(wildcards.set)),
        folders=lambda wildcards: folders_of(sources_of_set(wildcards.set)),
        manifest=f"{RUN}/data/manifest.csv",
        timeline=f"{RUN}/data/timeline.csv",
    output:
        table=update(f"{RUN}/data/external/{{set}}.csv"),
        excluded=update(f"{RUN}/data/excluded/{{set}}.csv"),
    resources:
        **job(2000, 60),
    params:
        # With the run's own: a patient of the run is known by the collection that he is of.
        sources=lambda wildcards: STUDY_SOURCES | sources_of_set(wildcards.set),
        classes=lambda wildcards: config["external"][wildcards.set],
        seed=config["seed"],
        content=lambda wildcards: content_of(sources_of_set(wildcards.set)),
        step=step("data/external"),
    message:
        "Choosing the images of the external set {wildcards.set}"
    script:
        "../scripts/run.py"


rule images:
    input:
        table=f"{RUN}/data/{{name}}.csv",
    output:
        images=sharded(f"{RUN}/images/{{name}}.npy"),
    wildcard_constraints:
        name=IMAGE_TABLE,
    threads: min(THREADS, 2)
    resources:
        **job(2000, 30),
    params:
        size=config["image_size"],
        step=step("data/images"),
    message:
        "Decoding the images of {wildcards.name}.csv"
    script:
        "../scripts/run.py"


# Where `performance.shards` is more than 1.
rule join:
    input:
        shards=[f"{RUN}/shards/{k + 1}of{SHARDS}/{{file}}" for k in range(SHARDS)],
    output:
        whole=update(f"{RUN}/{{file}}"),
    wildcard_constraints:
        file=(
            rf"images/({IMAGE_TABLE})\.npy|features/\w+/({BANK}/\w+\.(npy|csv)"
            rf"|(external|controls)/\w+\.npy)"
            if SHARDS > 1
            else "(?!)"
        ),
    resources:
        **job(1000, 60),
    params:
        step=step("data/join"),
    message:
        "Joining the shards of {wildcards.file}"
    script:
        "../scripts/run.py"


rule lungs:
    input:
        lung_boxes,
        manifest=f"{RUN}/data/manifest.csv",
        images=f"{RUN}/images/manifest.npy",
        folders=folders_of(STUDY_SOURCES),
    output:
        regions=update(f"{RUN}/images/lungs.npy"),
        table=update(f"{RUN}/data/lungs.csv"),
    resources:
        **job(1000, 20),
    params:
        sources=STUDY_SOURCES,
        step=step("data/lungs"),
    message:
        "Finding the lungs on every image"
    script:
        "../scripts/run.py"
