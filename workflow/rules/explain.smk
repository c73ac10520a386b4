"""Grad-CAM maps and figures 6 and 7."""

SHOWN = config["explain"]["augmentation"]


rule gradcam:
    input:
        models=expand(
            f"{RUN}/models/study/{{backbone}}/{{augmentation}}/{{model}}.keras",
            model=FOLDS,
            allow_missing=True,
        ),
        manifest=f"{RUN}/data/manifest.csv",
        split=f"{RUN}/data/split.csv",
        images=f"{RUN}/images/manifest.npy",
        timeline=f"{RUN}/data/timeline.csv",
        timeline_images=f"{RUN}/images/timeline.npy",
    output:
        update(f"{RUN}/gradcam/{{backbone}}/{{augmentation}}.npz"),
    log:
        f"{RUN}/logs/gradcam/{{backbone}}_{{augmentation}}.log",
    benchmark:
        f"{RUN}/benchmarks/gradcam/{{backbone}}_{{augmentation}}.tsv"
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(4000),
        runtime=minutes(30),
    params:
        classes=CLASSES,
        seed=config["seed"],
        code=code("explain/gradcam"),
    message:
        "Grad-CAM of {wildcards.backbone} {wildcards.augmentation}"
    script:
        "../scripts/explain/gradcam.py"


rule fig6_gradcam:
    input:
        expand(f"{RUN}/gradcam/{{backbone}}/{SHOWN}.npz", backbone=BACKBONES),
    output:
        **figure("fig6_gradcam", "Explanations", "6 Grad-CAM"),
    log:
        f"{RUN}/logs/fig6_gradcam.log",
    benchmark:
        f"{RUN}/benchmarks/fig6_gradcam.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(5),
    params:
        backbones=BACKBONES,
        classes=CLASSES,
        colormap=config["explain"]["colormap"],
        opacity=config["explain"]["opacity"],
        code=code("explain/fig6_gradcam"),
    message:
        "Figure 6: Grad-CAM for one image of each class"
    script:
        "../scripts/explain/fig6_gradcam.py"


rule fig7_timeline:
    input:
        expand(f"{RUN}/gradcam/{{backbone}}/{SHOWN}.npz", backbone=BACKBONES),
    output:
        **figure("fig7_timeline", "Explanations", "7 Grad-CAM over days"),
    log:
        f"{RUN}/logs/fig7_timeline.log",
    benchmark:
        f"{RUN}/benchmarks/fig7_timeline.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(5),
    params:
        backbones=BACKBONES,
        classes=CLASSES,
        colormap=config["explain"]["colormap"],
        opacity=config["explain"]["opacity"],
        code=code("explain/fig7_timeline"),
    message:
        "Figure 7: Grad-CAM over one patient's days"
    script:
        "../scripts/explain/fig7_timeline.py"


rule explanations:
    input:
        models=expand(
            f"{RUN}/models/study/{{backbone}}/{{augmentation}}/{{model}}.keras",
            augmentation=AUGMENTATIONS,
            model=FOLDS,
            allow_missing=True,
        ),
        manifest=f"{RUN}/data/manifest.csv",
        split=f"{RUN}/data/split.csv",
        images=f"{RUN}/images/manifest.npy",
        lungs=f"{RUN}/images/lungs.npy",
        timeline=f"{RUN}/data/timeline.csv",
        timeline_images=f"{RUN}/images/timeline.npy",
        masked=expand(
            f"{RUN}/phantoms/{{source}}",
            source=placed("made", STUDY_SOURCES),
        ),
    output:
        maps=update(f"{RUN}/explanations/{{backbone}}/maps.npz"),
        images=update(f"{RUN}/explanations/{{backbone}}/images.csv"),
        curves=update(f"{RUN}/explanations/{{backbone}}/curves.csv"),
        randomised=update(f"{RUN}/explanations/{{backbone}}/randomised.csv"),
    log:
        f"{RUN}/logs/explanations/{{backbone}}.log",
    benchmark:
        f"{RUN}/benchmarks/explanations/{{backbone}}.tsv"
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(6000),
        runtime=minutes(60),
    params:
        classes=CLASSES,
        augmentations=AUGMENTATIONS,
        folds=len(FOLDS),
        phantoms=placed("made", STUDY_SOURCES),
        sampled=config["explain"]["images"],
        seed=config["seed"],
        code=code("explain/explanations"),
    message:
        "Measuring the explanations of {wildcards.backbone}"
    script:
        "../scripts/explain/explanations.py"


rule explanation_table:
    input:
        images=expand(f"{RUN}/explanations/{{backbone}}/images.csv", backbone=BACKBONES),
        curves=expand(f"{RUN}/explanations/{{backbone}}/curves.csv", backbone=BACKBONES),
        randomised=expand(
            f"{RUN}/explanations/{{backbone}}/randomised.csv", backbone=BACKBONES
        ),
    output:
        table=table("explanations", "measures of the Grad-CAM maps"),
        timelines=table("timelines", "dated patients over days"),
    log:
        f"{RUN}/logs/explanation_table.log",
    benchmark:
        f"{RUN}/benchmarks/explanation_table.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(5),
    params:
        backbones=BACKBONES,
        seed=config["seed"],
        code=code("explain/explanation_table"),
    message:
        "Table of the explanations' measures"
    script:
        "../scripts/explain/explanation_table.py"


rule fig_explanations:
    input:
        f"{RUN}/tables/explanations.csv",
    output:
        **figure("explanations", "Explanations", "measures of the maps"),
    log:
        f"{RUN}/logs/fig_explanations.log",
    benchmark:
        f"{RUN}/benchmarks/fig_explanations.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(5),
    params:
        code=code("explain/fig_explanations"),
    message:
        "Figure of the explanations' measures"
    script:
        "../scripts/explain/fig_explanations.py"


rule fig_timelines:
    input:
        table=f"{RUN}/tables/timelines.csv",
        maps=f"{RUN}/explanations/{BACKBONES[0]}/maps.npz",
    output:
        **figure("timelines", "Explanations", "patients over days"),
    log:
        f"{RUN}/logs/fig_timelines.log",
    benchmark:
        f"{RUN}/benchmarks/fig_timelines.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(5),
    params:
        augmentation=SHOWN,
        target=(
            config["cyclegan"]["target_class"]
            if config["cyclegan"]["target_class"] in CLASSES
            else None
        ),
        colormap=config["explain"]["colormap"],
        opacity=config["explain"]["opacity"],
        code=code("explain/fig_timelines"),
    message:
        "Figure of the patients over days"
    script:
        "../scripts/explain/fig_timelines.py"


REPORT_TABLES += [f"{RUN}/tables/{name}.csv" for name in ("explanations", "timelines")]
REPORT_FIGURES += ["explanations", "timelines"]
