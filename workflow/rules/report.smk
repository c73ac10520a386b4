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


rule report:
    input:
        figures=FIGURES,
        tables=TABLES + REPORT_TABLES,
        data=expand(
            f"{RUN}/data/{{table}}.csv",
            table=["manifest", "quarantine", "collections", "split"],
        ),
        synthetic=f"{RUN}/data/synthetic.csv" if SYNTHETIC else [],
        losses=f"{RUN}/cyclegan/losses.csv" if SYNTHETIC else [],
        samples=f"{RUN}/figures/cyclegan_samples.png" if SYNTHETIC else [],
        gradcam=expand(f"{RUN}/gradcam/{{backbone}}/{SHOWN}.npz", backbone=BACKBONES),
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
        benchmarks=f"{RUN}/benchmarks",
        code=code("report/report"),
    message:
        "Writing the report"
    script:
        "../scripts/report/report.py"
