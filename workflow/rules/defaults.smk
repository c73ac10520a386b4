"""What all rules have in common, declared once, after them: which jobs go first; and the log's place and the software
environment, for which Snakemake has no directive, where a rule leaves them out.
"""

# The longest chain begins with the CycleGAN; long jobs that little waits for fill the cores beside it.
FIRST = ("lungs", "frames", "cyclegan")
LAST = ("control_features", "external_features", "repeats", "export_model")

for own in workflow.rules:
    own.priority = 1 + (own.name in FIRST) - (own.name in LAST)
    if "step" in own.params.keys():
        if not own.log:
            names = "_".join(f"{{{name}}}" for name in sorted(own.wildcard_names))
            own.log_modifier = own.output_modifier
            own.set_log(f"{RUN}/logs/{own.name}{'/' * bool(names)}{names}.log")
        own.conda_env = own.conda_env or ENVIRONMENT
        own.container_img = own.container_img or config["container"]
