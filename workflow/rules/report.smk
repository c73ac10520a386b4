"""One HTML file with everything."""

SHOWN_IN_REPORT = [
    SCORES,
    *shown_with_sections(),
    *(
        [f"{RUN}/cyclegan/losses.csv", f"{RUN}/figures/cyclegan_samples.png"]
        if SYNTHETIC
        else []
    ),
]


# After all that the report shows, so that it tells the times of all of it.
rule benchmarks:
    input:
        shown=SECTIONS + SHOWN_IN_REPORT,
    output:
        table=update(f"{RUN}/tables/benchmarks.csv"),
        section=section("benchmarks"),
    resources:
        **job(500, 5),
    params:
        logs=lambda wildcards, output: str(Path(output.table).parents[1] / "logs"),
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
        shown=[*SHOWN_IN_REPORT, f"{RUN}/tables/benchmarks.csv"],
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
