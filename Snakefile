"""covidcxr: raw chest X-ray collections to a classifier and an honest report on it.

This file is the table of contents. Each stage's rules stand in `workflow/rules/<stage>.smk`; rule
`x` of a stage runs `workflow/scripts/<stage>/x.py`, which calls `src/covidcxr/<stage>/x.py`.
"""

from snakemake.utils import min_version

min_version("9.27")


# A second `--configfile` would be merged into the first, so the study's is read only where none is given.
if "run" not in config:

    configfile: workflow.source_path("config/config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/recovery.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/cyclegan.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/classify.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/external.smk"
include: "workflow/rules/audits.smk"
include: "workflow/rules/synthetic.smk"
include: "workflow/rules/populations.smk"
include: "workflow/rules/explain.smk"
include: "workflow/rules/deploy.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/defaults.smk"
include: "workflow/rules/sharing.smk"


report: "workflow/report/workflow.rst"


rule all:
    default_target: True
    input:
        f"{RUN}/report.html",


rule data:
    input:
        f"{RUN}/data/split.csv",
        f"{RUN}/images/manifest.npy",


rule synthetic:
    input:
        f"{RUN}/data/synthetic.csv" if SYNTHETIC else [],


rule models:
    input:
        every_model(f"{RUN}/models/{{backbone}}/{{augmentation}}/{{model}}.keras"),


rule tables:
    input:
        TABLES + REPORT_TABLES,


rule figures:
    input:
        FIGURES,


rule export:
    input:
        f"{RUN}/tables/export.csv",


rule matrix:
    input:
        MATRIX,
