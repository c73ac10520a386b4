"""Grad-CAM maps and figures 6 and 7."""

SHOWN = config["explain"]["augmentation"]


rule gradcam:
    input:
        models=expand(
            f"{RUN}/models/{{backbone}}/{{augmentation}}/{{model}}.keras",
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
