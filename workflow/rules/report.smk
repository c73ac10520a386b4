"""One HTML file with everything."""

SHOWN_FIGURES = [
    "fig1_diagnoses",
    *(["fig2_synthetic"] if SYNTHETIC else []),
    "fig3_architecture",
    "fig4_loss",
    "fig5_confusion",
]
FIGURES = [
    f"{RUN}/figures/{name}.{kind}"
    for name in SHOWN_FIGURES + REPORT_FIGURES
    for kind in ("png", "svg")
]
# What no step describes yet in a section of its own.
UNMOVED = [
    *FIGURES,
    *TABLES,
    *REPORT_TABLES,
    *([f"{RUN}/data/synthetic.csv"] if SYNTHETIC else []),
    *([f"{RUN}/cyclegan/losses.csv"] if SYNTHETIC else []),
    *([f"{RUN}/figures/cyclegan_samples.png"] if SYNTHETIC else []),
]


# After all that the report shows, so that it tells the times of all of it.
rule benchmarks:
    input:
        shown=list(dict.fromkeys(SECTIONS + shown_with_sections() + UNMOVED)),
    output:
        table=update(f"{RUN}/tables/benchmarks.csv"),
        section=section("benchmarks"),
    resources:
        **job(500, 5),
    params:
        logs=f"{RUN}/logs",
        step=step("report/benchmarks"),
    message:
        "Adding up the times of the jobs"
    script:
        "../scripts/run.py"


rule report:
    input:
        manifest=f"{RUN}/data/manifest.csv",
        split=f"{RUN}/data/split.csv",
        quarantine=f"{RUN}/data/quarantine.csv",
        collections=f"{RUN}/data/collections.csv",
        sections=SECTIONS,
        shown=list(dict.fromkeys(shown_with_sections() + UNMOVED)),
    output:
        report=update(f"{RUN}/report.html"),
    resources:
        **job(1000, 5),
    params:
        # The one rule that shows the whole configuration depends on all of it.
        config=config,
        step=step("report/report"),
    message:
        "Writing the report"
    script:
        "../scripts/run.py"
