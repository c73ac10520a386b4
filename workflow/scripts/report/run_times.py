"""Write the times of the run's jobs, the sizes of its folders, and the timeline."""

from covidcxr.logs import step
from covidcxr.report.run_times import write_run_times

with step(snakemake.log[0]):
    write_run_times(
        snakemake.params.run,
        snakemake.output.jobs,
        snakemake.output.sizes,
        snakemake.output.png,
        snakemake.output.svg,
    )
