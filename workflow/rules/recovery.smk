"""A failed job leaves the finished files that it should have renewed, and what is known of them.

`update()` around the outputs makes Snakemake (9.27) bring a failed job's earlier files back, but it then files
them under the failed job's parameters: the next run would take them for its result, and the run before would have
to be repeated. So the records are put back too.
"""

from copy import deepcopy

EARLIER_RECORDS = {}


onstart:
    for job in workflow.dag.needrun_jobs():
        for file in job.output:
            EARLIER_RECORDS[file] = deepcopy(workflow.persistence.metadata(file))


onerror:
    for job in workflow.dag.needrun_jobs():
        for file in job.output:
            workflow.persistence.cleanup_metadata(file)
            if EARLIER_RECORDS.get(file) is not None:
                workflow.persistence._write_record(
                    workflow.persistence._get_key(file), EARLIER_RECORDS[file]
                )
