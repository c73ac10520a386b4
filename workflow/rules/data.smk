"""Raw collections to a checked manifest, a patient-disjoint split and one array of images."""


# On a cluster these run where Snakemake runs: compute nodes often have no internet.
localrules:
    covid_metadata,
    covid_images,
    kermany_archive,


rule phantoms:
    output:
        table=update(f"{RUN}/phantoms/{{source}}/metadata.csv"),
        images=update(directory(f"{RUN}/phantoms/{{source}}/images")),
    log:
        f"{RUN}/logs/phantoms/{{source}}.log",
    benchmark:
        f"{RUN}/benchmarks/phantoms/{{source}}.tsv"
    wildcard_constraints:
        source=sources_of("phantom"),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(20),
    params:
        settings=lambda wildcards: config["sources"][wildcards.source],
        seed=config["seed"],
        code=code("data/phantoms"),
    message:
        "Drawing chest phantoms"
    script:
        "../scripts/data/phantoms.py"


rule covid_metadata:
    output:
        update(f"{RESOURCES}/{{source}}/metadata.csv"),
    log:
        f"{RUN}/logs/covid_metadata/{{source}}.log",
    benchmark:
        f"{RUN}/benchmarks/covid_metadata/{{source}}.tsv"
    wildcard_constraints:
        source=sources_of("covid_chestxray"),
    retries: 2
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(500),
        runtime=minutes(10),
    params:
        commit=lambda wildcards: config["sources"][wildcards.source]["commit"],
        mirror=config["mirror"],
        mirrored=mirrored("covid-chestxray-dataset/metadata.csv"),
        code=code("data/covid_metadata"),
    message:
        "Fetching the metadata of the COVID-19 Image Data Collection"
    script:
        "../scripts/data/covid_metadata.py"


rule covid_images:
    input:
        f"{RESOURCES}/{{source}}/metadata.csv",
    output:
        update(directory(f"{RESOURCES}/{{source}}/images")),
    log:
        f"{RUN}/logs/covid_images/{{source}}.log",
    benchmark:
        f"{RUN}/benchmarks/covid_images/{{source}}.tsv"
    wildcard_constraints:
        source=sources_of("covid_chestxray"),
    retries: 2
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(500),
        runtime=minutes(60),
    params:
        select=filters_of,
        commit=lambda wildcards: config["sources"][wildcards.source]["commit"],
        mirror=config["mirror"],
        mirrored=mirrored("covid-chestxray-dataset/images"),
        code=code("data/covid_images"),
    message:
        "Fetching the selected images of the COVID-19 Image Data Collection"
    script:
        "../scripts/data/covid_images.py"


rule kermany_archive:
    output:
        update(f"{RESOURCES}/{{source}}/ChestXRay2017.zip"),
    log:
        f"{RUN}/logs/kermany_archive/{{source}}.log",
    benchmark:
        f"{RUN}/benchmarks/kermany_archive/{{source}}.tsv"
    wildcard_constraints:
        source=sources_of("kermany"),
    retries: 2
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(500),
        runtime=minutes(240),
    params:
        mirror=config["mirror"],
        mirrored=mirrored("ChestXRay2017.zip"),
        code=code("data/kermany_archive"),
    message:
        "Fetching Kermany's archive (1.2 GB, resumable)"
    script:
        "../scripts/data/kermany_archive.py"


rule kermany_images:
    input:
        []
        if kermany_mirror_is_extracted(config["mirror"])
        else f"{RESOURCES}/{{source}}/ChestXRay2017.zip",
    output:
        update(directory(f"{RESOURCES}/{{source}}/images")),
    log:
        f"{RUN}/logs/kermany_images/{{source}}.log",
    benchmark:
        f"{RUN}/benchmarks/kermany_images/{{source}}.tsv"
    wildcard_constraints:
        source=sources_of("kermany"),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(500),
        runtime=minutes(30),
    params:
        mirror=config["mirror"],
        mirrored=mirrored("chest_xray"),
        code=code("data/kermany_images"),
    message:
        "Unpacking Kermany's images"
    script:
        "../scripts/data/kermany_images.py"


rule nih_subset_images:
    output:
        update(directory(f"{RESOURCES}/{{source}}/images")),
    log:
        f"{RUN}/logs/nih_subset_images/{{source}}.log",
    benchmark:
        f"{RUN}/benchmarks/nih_subset_images/{{source}}.tsv"
    wildcard_constraints:
        source=sources_of("nih_subset"),
    retries: 2
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(500),
        runtime=minutes(60),
    params:
        select=filters_of,
        commit=lambda wildcards: config["sources"][wildcards.source]["commit"],
        mirror=config["mirror"],
        mirrored=mirrored("X-Ray Image DataSet"),
        code=code("data/nih_subset_images"),
    message:
        "Fetching the films of the NIH subset"
    script:
        "../scripts/data/nih_subset_images.py"


rule manifest:
    input:
        raw_files,
    output:
        manifest=update(f"{RUN}/data/manifest.csv"),
        quarantine=update(f"{RUN}/data/quarantine.csv"),
        timeline=update(f"{RUN}/data/timeline.csv"),
        collections=update(f"{RUN}/data/collections.csv"),
    log:
        f"{RUN}/logs/manifest.log",
    benchmark:
        f"{RUN}/benchmarks/manifest.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(2000),
        runtime=minutes(60),
    params:
        sources=STUDY_SOURCES,
        classes=config["classes"],
        timeline=config["timeline"],
        seed=config["seed"],
        own_images=own_images,
        code=code("data/manifest"),
    message:
        "Drawing the study's images and checking each"
    script:
        "../scripts/data/manifest.py"


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
        step=step("data/population"),
    message:
        "Choosing the images of population {wildcards.population}"
    script:
        "../scripts/run.py"


rule images:
    input:
        f"{RUN}/data/{{cohort}}.csv",
    output:
        update(f"{RUN}/images/{{cohort}}.npy"),
    log:
        f"{RUN}/logs/images/{{cohort}}.log",
    benchmark:
        f"{RUN}/benchmarks/images/{{cohort}}.tsv"
    wildcard_constraints:
        cohort=r"manifest|timeline|external/\w+",
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        size=config["image_size"],
        code=code("data/images"),
    message:
        "Decoding the images of {wildcards.cohort}.csv"
    script:
        "../scripts/data/images.py"


rule lung_boxes:
    output:
        update(f"{RESOURCES}/{{source}}/lung_boxes.json"),
    log:
        f"{RUN}/logs/lung_boxes/{{source}}.log",
    benchmark:
        f"{RUN}/benchmarks/lung_boxes/{{source}}.tsv"
    wildcard_constraints:
        source=sources_of("covid_chestxray"),
    retries: 2
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(500),
        runtime=minutes(10),
    params:
        commit=lambda wildcards: config["sources"][wildcards.source]["commit"],
        mirror=config["mirror"],
        mirrored=mirrored("covid-chestxray-dataset/annotations"),
        code=code("data/lung_boxes"),
    message:
        "Fetching the boxes of lungs of the COVID-19 Image Data Collection"
    script:
        "../scripts/data/lung_boxes.py"


rule lungs:
    input:
        manifest=f"{RUN}/data/manifest.csv",
        images=f"{RUN}/images/manifest.npy",
        masked=expand(
            f"{RUN}/phantoms/{{source}}/images",
            source=of_type("phantom", STUDY_SOURCES),
        ),
        boxed=expand(
            f"{RESOURCES}/{{source}}/lung_boxes.json",
            source=of_type("covid_chestxray", STUDY_SOURCES),
        ),
        # Part of what the step computes, like its code, but no code.
        coefficients=LUNG_BOXES,
    output:
        regions=update(f"{RUN}/images/lungs.npy"),
        table=update(f"{RUN}/data/lungs.csv"),
    log:
        f"{RUN}/logs/lungs.log",
    benchmark:
        f"{RUN}/benchmarks/lungs.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(20),
    params:
        phantoms=of_type("phantom", STUDY_SOURCES),
        collections=of_type("covid_chestxray", STUDY_SOURCES),
        code=code("data/lungs"),
    message:
        "Telling the lungs of every image"
    script:
        "../scripts/data/lungs.py"
