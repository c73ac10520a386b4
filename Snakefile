"""The workflow stands in `workflow/Snakefile`, where catalogues and modules look for it."""


include: "workflow/Snakefile"


# An included file's default target is not taken over.
workflow.default_target = "all"
