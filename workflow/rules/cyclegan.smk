"""The CycleGAN, the synthetic images it makes of training images, what they are and whether they help."""

GAN_SETTINGS = {
    **{k: v for k, v in config["cyclegan"].items() if k not in ("per_fold", "region")},
    **select(config["performance"], "mixed_precision", "xla"),
    "seed": config["seed"],
}
# One CycleGAN learns from all training images; with `per_fold` one more for each fold, without its images.
WITHOUT = ["", *(f"_{fold}" for fold in FOLDS if config["cyclegan"]["per_fold"])]
GENERATORS = [
    f"{RUN}/cyclegan{{without}}/{name}.keras"
    for name in ("generator", "backward_generator")
]


wildcard_constraints:
    without=r"(_fold\d+)?",


rule frames:
    input:
        images=f"{RUN}/images/manifest.npy",
        manifest=f"{RUN}/data/manifest.csv",
        lungs=f"{RUN}/images/lungs.npy",
        lungs_table=f"{RUN}/data/lungs.csv",
    output:
        frames=update(f"{RUN}/images/frames.npy"),
        table=update(f"{RUN}/data/frames.csv"),
    resources:
        **job(2000, 60),
    params:
        region=config["cyclegan"]["region"],
        step=step("cyclegan/frames"),
    message:
        "Cropping what the CycleGAN sees"
    script:
        "../scripts/run.py"


rule cyclegan:
    input:
        images=f"{RUN}/images/frames.npy",
        manifest=f"{RUN}/data/manifest.csv",
        # The folds are no matter of the CycleGAN of all.
        split=branch(
            lambda wildcards: wildcards.without,
            then=f"{RUN}/data/split.csv",
            otherwise=f"{RUN}/data/holdout.csv",
        ),
    output:
        generators=update(GENERATORS),
        losses_table=update(f"{RUN}/cyclegan{{without}}/losses.csv"),
        seen=update(f"{RUN}/cyclegan{{without}}/inputs.csv"),
        samples=report(
            update(f"{RUN}/figures/cyclegan_samples{{without}}.png"),
            category="CycleGAN",
            caption="../report/caption.rst",
            labels={"figure": "sample grid{without}"},
        ),
    log:
        f"{RUN}/logs/cyclegan{{without}}.log",
    threads: THREADS
    resources:
        **job(6000, 600, gpu=1),
    params:
        settings=GAN_SETTINGS,
        left_out_fold=lambda wildcards: (
            int(wildcards.without.removeprefix("_fold")) if wildcards.without else None
        ),
        step=step("cyclegan/cyclegan"),
    message:
        "Training the CycleGAN{wildcards.without}"
    script:
        "../scripts/run.py"


rule synthesize:
    input:
        generator=GENERATORS[0],
        seen=f"{RUN}/cyclegan{{without}}/inputs.csv",
        frames=[f"{RUN}/images/frames.npy", f"{RUN}/data/frames.csv"],
        images=f"{RUN}/images/manifest.npy",
    output:
        table=update(f"{RUN}/data/synthetic{{without}}.csv"),
        synthetic=update(f"{RUN}/images/synthetic{{without}}.npy"),
        pictures=update(directory(f"{RUN}/synthetic{{without}}")),
    log:
        f"{RUN}/logs/synthesize{{without}}.log",
    threads: THREADS
    resources:
        **job(4000, 30, gpu=1),
    params:
        number=SYNTHETIC,
        seed=config["seed"],
        step=step("cyclegan/synthesize"),
    message:
        "Making synthetic images"
    script:
        "../scripts/run.py"


rule fig2_synthetic:
    input:
        manifest=f"{RUN}/data/manifest.csv",
        images=f"{RUN}/images/manifest.npy",
        holdout=f"{RUN}/data/holdout.csv",
        synthetic=f"{RUN}/data/synthetic.csv",
        synthetic_images=f"{RUN}/images/synthetic.npy",
    output:
        **figure("fig2_synthetic", "CycleGAN", "2 Originals and translations"),
        section=section("fig2_synthetic", when=SYNTHETIC),
    resources:
        **job(1000, 5),
    params:
        seed=config["seed"],
        step=step("cyclegan/fig2_synthetic"),
    message:
        "Figure 2: originals beside synthetic images"
    script:
        "../scripts/run.py"


# Repeats need cached features of a frozen backbone; feature space needs features at all.
REPEATS = (
    config["repeats"] if SYNTHETIC and config["training"]["trainable"] == "head" else 0
)
IN_FEATURE_SPACE = SYNTHETIC and config["training"]["trainable"] != "all"


rule synthetic_effect:
    input:
        repeats=expand(f"{RUN}/repeats/{{backbone}}.csv", backbone=BACKBONES),
    output:
        **figure("synthetic_effect", "CycleGAN", "Do synthetic images help?"),
        tables=[
            table("synthetic_effect", "Do synthetic images help?"),
            update(f"{RUN}/tables/synthetic_effect_repeats.csv"),
            update(f"{RUN}/tables/detectable_effect.csv"),
        ],
        section=section("synthetic_effect", when=REPEATS),
    resources:
        **job(1000, 10),
    params:
        weights=WEIGHTS,
        classes=CLASSES,
        target_class=config["cyclegan"]["target_class"],
        synthetic_arms=[name for name, number in SYNTHETIC_IN.items() if number],
        seed=config["seed"],
        step=step("cyclegan/synthetic_effect"),
    message:
        "Comparing training with and without synthetic images"
    script:
        "../scripts/run.py"


rule audit_features:
    input:
        features=expand(
            f"{RUN}/features/{{backbone}}/{{images}}/clean.npy",
            backbone=BACKBONES,
            images=["manifest", "synthetic"],
        ),
        manifest=f"{RUN}/data/manifest.csv",
        holdout=f"{RUN}/data/holdout.csv",
        synthetic=f"{RUN}/data/synthetic.csv",
    output:
        **figure("audit_features", "CycleGAN", "Synthetic images in feature space"),
        tables=[
            table("audit_features", "Synthetic images in feature space"),
            update(f"{RUN}/tables/audit_neighbours.csv"),
        ],
        section=section("audit_features", when=IN_FEATURE_SPACE),
    resources:
        **job(2000, 15),
    params:
        weights=WEIGHTS,
        seed=config["seed"],
        step=step("cyclegan/audit_features"),
    message:
        "Auditing the synthetic images in feature space"
    script:
        "../scripts/run.py"


rule audit_changes:
    input:
        images=f"{RUN}/images/manifest.npy",
        lungs=[f"{RUN}/images/lungs.npy", f"{RUN}/data/lungs.csv"],
        synthetic=[f"{RUN}/data/synthetic.csv", f"{RUN}/images/synthetic.npy"],
        seen=f"{RUN}/cyclegan/inputs.csv",
    output:
        **figure("audit_changes", "CycleGAN", "What the translation changes"),
        tables=[
            update(f"{RUN}/tables/audit_changes.csv"),
            table("audit_summary", "What the translation changes"),
        ],
        section=section("audit_changes", when=SYNTHETIC),
    resources:
        **job(2000, 10),
    params:
        size=config["cyclegan"]["image_size"],
        seed=config["seed"],
        step=step("cyclegan/audit_changes"),
    message:
        "Comparing translations with their sources"
    script:
        "../scripts/run.py"


rule lineage:
    input:
        images=f"{RUN}/images/manifest.npy",
        frames=f"{RUN}/images/frames.npy",
        manifest=f"{RUN}/data/manifest.csv",
        split=f"{RUN}/data/split.csv",
        seen=expand(f"{RUN}/cyclegan{{without}}/inputs.csv", without=WITHOUT),
        synthetic=expand(f"{RUN}/data/synthetic{{without}}.csv", without=WITHOUT),
    output:
        table=table("lineage", "What the CycleGANs saw"),
        section=section("lineage", when=SYNTHETIC),
    resources:
        **job(1000, 10),
    params:
        names=["all" if not fold else fold[1:] for fold in WITHOUT],
        by_patient=config["split"]["unit"] != "image",
        step=step("cyclegan/lineage"),
    message:
        "Checking that no CycleGAN saw an image that it must not have seen"
    script:
        "../scripts/run.py"
