"""One HTML file with everything."""

SHOWN_FIGURES = [
    "fig1_diagnoses",
    *(["fig2_synthetic"] if SYNTHETIC else []),
    "fig3_architecture",
    "fig4_loss",
    "fig5_confusion",
    "fig6_gradcam",
    *(["fig7_timeline"] if config["timeline"] else []),
]
FIGURES = [
    f"{RUN}/figures/{name}.{kind}"
    for name in SHOWN_FIGURES + REPORT_FIGURES
    for kind in ("png", "svg")
]
SHOWN_IN_REPORT = [
    *FIGURES,
    *TABLES,
    *REPORT_TABLES,
    *expand(
        f"{RUN}/data/{{table}}.csv",
        table=["manifest", "quarantine", "collections", "split"],
    ),
    *([f"{RUN}/data/synthetic.csv"] if SYNTHETIC else []),
    *([f"{RUN}/cyclegan/losses.csv"] if SYNTHETIC else []),
    *([f"{RUN}/figures/cyclegan_samples.png"] if SYNTHETIC else []),
    *expand(f"{RUN}/gradcam/{{backbone}}/{SHOWN}.npz", backbone=BACKBONES),
    *SECTIONS,
    *shown_with_sections(),
]


# After all that the report shows, so that it tells the times of all of it.
rule run_times:
    input:
        SHOWN_IN_REPORT,
    output:
        **figure("fig_jobs", "Run", "jobs over time"),
        jobs=update(f"{RUN}/benchmarks/jobs.csv"),
        sizes=update(f"{RUN}/benchmarks/sizes.csv"),
    log:
        f"{RUN}/logs/run_times.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(500),
        runtime=minutes(5),
    params:
        run=lambda wildcards, output: str(Path(output.jobs).parents[1]),
        code=code("report/run_times"),
    message:
        "Adding up the times of the jobs"
    script:
        "../scripts/report/run_times.py"


rule report:
    input:
        SHOWN_IN_REPORT,
        rules.run_times.output,
    output:
        update(f"{RUN}/report.html"),
    log:
        f"{RUN}/logs/report.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory(1000),
        runtime=minutes(5),
    params:
        # The one rule that shows the whole configuration depends on all of it.
        config=config,
        code=code("report/report"),
    message:
        "Writing the report"
    script:
        "../scripts/report/report.py"
