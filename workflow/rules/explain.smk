"""Grad-CAM: maps of the test images and the dated patients, their measures, figures 6 and 7."""

LOOK = {name: config["explain"][name] for name in ("colormap", "opacity")}
EXPLAINED = f"{RUN}/explanations/{{backbone}}"
EVERY_EXPLAINED = expand(EXPLAINED, backbone=BACKBONES)


rule explanations:
    input:
        models=expand(ENSEMBLE, augmentation=AUGMENTATIONS, allow_missing=True),
        study=[*STUDY, f"{RUN}/images/lungs.npy"],
        timeline=[f"{RUN}/data/timeline.csv", f"{RUN}/images/timeline.npy"],
    output:
        maps=update(f"{EXPLAINED}/maps.npz"),
        tables=update(
            multiext(f"{EXPLAINED}/", "images.csv", "curves.csv", "randomised.csv")
        ),
    threads: THREADS
    resources:
        **job(6000, 60, gpu=1),
    params:
        settings={
            "classes": CLASSES,
            "sampled": config["explain"]["images"],
            "masked": placed("made", STUDY_SOURCES),
        },
        augmentations=AUGMENTATIONS,
        seed=config["seed"],
        step=step("explain/explanations"),
    message:
        "Explaining {wildcards.backbone}"
    script:
        "../scripts/run.py"


rule examples:
    input:
        rows=expand("{place}/images.csv", place=EVERY_EXPLAINED),
        maps=expand("{place}/maps.npz", place=EVERY_EXPLAINED),
        severity=SEVERITY_KNOWN,
    output:
        fig6=[*figure("fig6_gradcam", "Explanations", "6 Grad-CAM").values()],
        fig7=[*figure("fig7_timeline", "Explanations", "7 Grad-CAM over days").values()],
        section=section("explanations"),
    resources:
        **job(1000, 5),
    params:
        augmentation=SHOWN,
        classes=CLASSES,
        look=LOOK,
        seed=config["seed"],
        step=step("explain/examples"),
    message:
        "Figures 6 and 7: Grad-CAM for one image of each class, and over a patient's days"
    script:
        "../scripts/run.py"


rule explanation_measures:
    input:
        rows=expand("{place}/images.csv", place=EVERY_EXPLAINED),
        curves=expand("{place}/curves.csv", place=EVERY_EXPLAINED),
        randomised=expand("{place}/randomised.csv", place=EVERY_EXPLAINED),
    output:
        **figure("explanations", "Explanations", "measures of the maps"),
        table=table("explanations", "measures of the Grad-CAM maps"),
        section=section("explanation_measures"),
    resources:
        **job(1000, 5),
    params:
        seed=config["seed"],
        step=step("explain/explanation_measures"),
    message:
        "Measures of the heat maps"
    script:
        "../scripts/run.py"


rule timelines:
    input:
        rows=expand("{place}/images.csv", place=EVERY_EXPLAINED),
        maps=f"{EVERY_EXPLAINED[0]}/maps.npz",
        severity=SEVERITY_KNOWN,
    output:
        **figure("timelines", "Explanations", "patients over days"),
        table=table("timelines", "dated patients over days"),
        section=section("timelines"),
    resources:
        **job(1000, 5),
    params:
        augmentation=SHOWN,
        target=next(iter({config["cyclegan"]["target_class"]} & {*CLASSES}), None),
        look=LOOK,
        step=step("explain/timelines"),
    message:
        "Patients over days"
    script:
        "../scripts/run.py"
