"""The CycleGAN and the synthetic images it makes of training images."""

GAN_SETTINGS = {
    key: value
    for key, value in config["cyclegan"].items()
    if key not in ("per_fold", "region")
}
FOLDS_OF_GAN = FOLDS if config["cyclegan"]["per_fold"] else []


rule frames:
    input:
        images=f"{RUN}/images/manifest.npy",
        manifest=f"{RUN}/data/manifest.csv",
        lungs=f"{RUN}/images/lungs.npy",
        lungs_table=f"{RUN}/data/lungs.csv",
    output:
        images=update(f"{RUN}/images/frames.npy"),
        table=update(f"{RUN}/data/frames.csv"),
    log:
        f"{RUN}/logs/frames.log",
    benchmark:
        f"{RUN}/benchmarks/frames.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(2000),
        runtime=minutes(60),
    params:
        region=config["cyclegan"]["region"],
        code=code("cyclegan/frames"),
    message:
        "Cutting out what the CycleGAN sees"
    script:
        "../scripts/cyclegan/frames.py"


rule cyclegan:
    input:
        images=f"{RUN}/images/frames.npy",
        manifest=f"{RUN}/data/manifest.csv",
        holdout=f"{RUN}/data/holdout.csv",
    output:
        generator=update(f"{RUN}/cyclegan/generator.keras"),
        backward=update(f"{RUN}/cyclegan/backward_generator.keras"),
        losses=update(f"{RUN}/cyclegan/losses.csv"),
        seen=update(f"{RUN}/cyclegan/inputs.csv"),
        samples=report(
            update(f"{RUN}/figures/cyclegan_samples.png"),
            category="CycleGAN",
            caption="../report/cyclegan_samples.rst",
            labels={"figure": "sample grid"},
        ),
    log:
        f"{RUN}/logs/cyclegan.log",
    benchmark:
        f"{RUN}/benchmarks/cyclegan.tsv"
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(6000),
        runtime=minutes(600),
    params:
        settings=GAN_SETTINGS,
        seed=config["seed"],
        mixed_precision=config["performance"]["mixed_precision"],
        xla=config["performance"]["xla"],
        code=code("cyclegan/cyclegan"),
    message:
        "Training the CycleGAN"
    script:
        "../scripts/cyclegan/cyclegan.py"


rule synthesize:
    input:
        generator=f"{RUN}/cyclegan/generator.keras",
        frames=f"{RUN}/images/frames.npy",
        frames_table=f"{RUN}/data/frames.csv",
        images=f"{RUN}/images/manifest.npy",
        manifest=f"{RUN}/data/manifest.csv",
        holdout=f"{RUN}/data/holdout.csv",
    output:
        table=update(f"{RUN}/data/synthetic.csv"),
        images=update(f"{RUN}/images/synthetic.npy"),
        pictures=update(directory(f"{RUN}/synthetic")),
    log:
        f"{RUN}/logs/synthesize.log",
    benchmark:
        f"{RUN}/benchmarks/synthesize.tsv"
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(4000),
        runtime=minutes(30),
    params:
        images=SYNTHETIC,
        source_class=config["cyclegan"]["source_class"],
        target_class=config["cyclegan"]["target_class"],
        gan_size=config["cyclegan"]["image_size"],
        seed=config["seed"],
        code=code("cyclegan/synthesize"),
    message:
        "Making synthetic images"
    script:
        "../scripts/cyclegan/synthesize.py"


rule cycle_error:
    input:
        generator=f"{RUN}/cyclegan/generator.keras",
        backward=f"{RUN}/cyclegan/backward_generator.keras",
        images=f"{RUN}/images/frames.npy",
        manifest=f"{RUN}/data/manifest.csv",
        holdout=f"{RUN}/data/holdout.csv",
        synthetic=f"{RUN}/data/synthetic.csv",
    output:
        update(f"{RUN}/tables/cycle_error.csv"),
    log:
        f"{RUN}/logs/cycle_error.log",
    benchmark:
        f"{RUN}/benchmarks/cycle_error.tsv"
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(4000),
        runtime=minutes(30),
    params:
        source_class=config["cyclegan"]["source_class"],
        gan_size=config["cyclegan"]["image_size"],
        seed=config["seed"],
        code=code("cyclegan/cycle_error"),
    message:
        "Translating images there and back"
    script:
        "../scripts/cyclegan/cycle_error.py"


use rule cyclegan as cyclegan_of_fold with:
    input:
        images=f"{RUN}/images/frames.npy",
        manifest=f"{RUN}/data/manifest.csv",
        holdout=f"{RUN}/data/split.csv",
    output:
        generator=update(f"{RUN}/cyclegan/{{fold}}/generator.keras"),
        backward=update(f"{RUN}/cyclegan/{{fold}}/backward_generator.keras"),
        losses=update(f"{RUN}/cyclegan/{{fold}}/losses.csv"),
        seen=update(f"{RUN}/cyclegan/{{fold}}/inputs.csv"),
        samples=update(f"{RUN}/cyclegan/{{fold}}/samples.png"),
    log:
        f"{RUN}/logs/cyclegan/{{fold}}.log",
    benchmark:
        f"{RUN}/benchmarks/cyclegan/{{fold}}.tsv"
    message:
        "Training the CycleGAN without {wildcards.fold}"


use rule synthesize as synthesize_of_fold with:
    input:
        generator=f"{RUN}/cyclegan/{{fold}}/generator.keras",
        frames=f"{RUN}/images/frames.npy",
        frames_table=f"{RUN}/data/frames.csv",
        images=f"{RUN}/images/manifest.npy",
        manifest=f"{RUN}/data/manifest.csv",
        holdout=f"{RUN}/data/split.csv",
    output:
        table=update(f"{RUN}/data/synthetic_{{fold}}.csv"),
        images=update(f"{RUN}/images/synthetic_{{fold}}.npy"),
        pictures=update(directory(f"{RUN}/synthetic_{{fold}}")),
    log:
        f"{RUN}/logs/synthesize/{{fold}}.log",
    benchmark:
        f"{RUN}/benchmarks/synthesize/{{fold}}.tsv"
    message:
        "Making synthetic images without {wildcards.fold}"


rule lineage:
    input:
        images=f"{RUN}/images/manifest.npy",
        frames=f"{RUN}/images/frames.npy",
        manifest=f"{RUN}/data/manifest.csv",
        split=f"{RUN}/data/split.csv",
        seen=[
            f"{RUN}/cyclegan/inputs.csv",
            *expand(f"{RUN}/cyclegan/{{fold}}/inputs.csv", fold=FOLDS_OF_GAN),
        ],
        synthetic=[
            f"{RUN}/data/synthetic.csv",
            *expand(f"{RUN}/data/synthetic_{{fold}}.csv", fold=FOLDS_OF_GAN),
        ],
    output:
        table("lineage", "What the CycleGANs saw"),
    log:
        f"{RUN}/logs/lineage.log",
    benchmark:
        f"{RUN}/benchmarks/lineage.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        names=["all", *FOLDS_OF_GAN],
        by_patient=config["split"]["unit"] == "patient",
        code=code("cyclegan/lineage"),
    message:
        "Checking that no CycleGAN saw an image that it must not have seen"
    script:
        "../scripts/cyclegan/lineage.py"


if SYNTHETIC:
    REPORT_TABLES.append(f"{RUN}/tables/cycle_error.csv")
    REPORT_TABLES.append(f"{RUN}/tables/lineage.csv")
