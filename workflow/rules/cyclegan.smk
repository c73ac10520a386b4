"""The CycleGAN and the synthetic images it makes of training images."""


rule cyclegan:
    input:
        images=f"{RUN}/images/manifest.npy",
        manifest=f"{RUN}/data/manifest.csv",
        holdout=f"{RUN}/data/holdout.csv",
    output:
        generator=update(f"{RUN}/cyclegan/generator.keras"),
        backward=update(f"{RUN}/cyclegan/backward_generator.keras"),
        losses=update(f"{RUN}/cyclegan/losses.csv"),
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
        settings=config["cyclegan"],
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
        image_size=config["image_size"],
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
        images=f"{RUN}/images/manifest.npy",
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


if SYNTHETIC:
    REPORT_TABLES.append(f"{RUN}/tables/cycle_error.csv")
