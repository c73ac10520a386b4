"""A job that fails or is cut short leaves finished files, and what is known of them, as they were.

`update()` around the outputs makes Snakemake (9.27) bring a failed job's earlier files back, but it then files
them under the failed job's parameters: the next run would take them for its result, and the run before would have
to be repeated. So the records are put back too. After Ctrl-C it does not even bring the files back, and after a
kill its next copy of an earlier folder fails because the first is still there.
"""

import shutil
from copy import deepcopy

from snakemake.logging import logger

EARLIER_RECORDS = {}

# Of every output of a failed job that had no earlier version; it would hide the job's own message.
logger.addFilter(lambda record: not record.getMessage().startswith("Cannot restore"))


def put_back(job):
    """Undo what a job that never ended has written: earlier outputs come back, others go."""
    persistence = workflow.persistence
    written = workflow.async_run(persistence.incomplete(job))
    for file in job.output:
        if file not in written:
            persistence.cleanup_backup(Path(file))
        elif persistence._get_backup_path(Path(file)).exists():
            persistence.restore_output(Path(file))
        elif Path(file).is_dir():
            shutil.rmtree(file)
        else:
            Path(file).unlink()
        persistence._unmark_incomplete(persistence._get_key(file))


onstart:
    # No recovery, but a workflow has one `onstart`: to hold its default limit, 100 jobs a second, Snakemake (9.27) starts a
    # timer with every job that ends, and each looks for jobs to start every second while any wait: 6 % of a core after 60.
    limiter = workflow.scheduler.job_rate_limiter
    if limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
    for job in workflow.dag.needrun_jobs():
        # Of a run that was killed and could not do it itself.
        put_back(job)
        for file in job.output:
            EARLIER_RECORDS[file] = deepcopy(workflow.persistence.metadata(file))


onerror:
    for job in workflow.dag.needrun_jobs():
        put_back(job)
        for file in job.output:
            workflow.persistence.cleanup_metadata(file)
            if EARLIER_RECORDS.get(file) is not None:
                workflow.persistence._write_record(
                    workflow.persistence._get_key(file), EARLIER_RECORDS[file]
                )
