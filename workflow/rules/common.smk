"""What the rules share: the checked config, the folder of the run, the digest of a rule's code."""

import os
import sys
from itertools import product
from pathlib import Path

from snakemake.exceptions import WorkflowError

if len(sys.executable.split()) > 1:
    raise WorkflowError(
        f"Snakemake cannot start Python under a path with a blank: '{sys.executable}'; move the folder that "
        "holds it, or make its environment, where no folder's name has one"
    )

# The folder that holds `workflow`: of a checkout, or of the installed package. Rules that are read from
# GitHub (`module`, snakedeploy) go with the package that is installed.
ROOT = Path(str(workflow.current_basedir)).parents[1]
if not (ROOT / "workflow/Snakefile").is_file():
    from covidcxr.provenance import share_folder

    ROOT = share_folder()

# In a checkout the package beside the rules is the one that runs, here and in every job, whatever is
# installed: its digest is what the results depend on.
if (ROOT / "src").is_dir():
    sys.path.insert(0, str(ROOT / "src"))
    os.environ.update(PYTHONPATH=str(ROOT / "src"))

from covidcxr.environment import pin

pin()  # for this process and for every job, which inherits it

from covidcxr.classify.classifiers import CLASSIFIERS
from covidcxr.config import (
    check_keys_once,
    check_paths,
    complete,
    operating_class,
    read_schema,
    synthetic_count,
)
from covidcxr.data.download import is_url
from covidcxr.data.fingerprint import fingerprint
from covidcxr.data.source import open_source
from covidcxr.errors import InputError
from covidcxr.provenance import PACKAGE, code_digest, step_digest
from covidcxr.severity.score_table import PUBLIC as PUBLIC_SCORES

try:
    for file in workflow.configfiles:
        check_keys_once(file)
    config = complete(config, read_schema(ROOT / "workflow/schemas/config.schema.yaml"))
    check_paths(config)
except InputError as error:
    raise WorkflowError(str(error))
except ModuleNotFoundError as error:
    raise WorkflowError(
        f"a table of one's own is read before the run: install {error.name} beside Snakemake"
    )

RUN = f"results/{config['run']}"
RESOURCES = config["resources"]
BACKBONES = config["backbones"]
AUGMENTATIONS = list(config["augmentations"])
CLASSES = list(config["classes"])
FOLDS = [f"fold{k}" for k in range(config["split"]["folds"])]
SYNTHETIC = synthetic_count(config)
# Data that come with the code, named from here: a run moved with its checkout stays current. These and the user's
# own files are `local`: read where they lie, whatever the prefix of a module or the storage of a run.
PUBLISHED = local(os.path.relpath(ROOT / "config/published_results.csv"))
LUNG_BOXES = local(os.path.relpath(PACKAGE / "data/lung_boxes.npz"))
ENVIRONMENT = str(ROOT / "envs/covidcxr.yaml")
THREADS = config["performance"]["threads"]
FINGERPRINTS = Path(".snakemake/covidcxr_fingerprints.json")

# The sections of the report, in the order of the rules that write them (see `section`).
SECTIONS: list[str] = []


def parts_of(classes):
    """All parts of classes as the config gives them."""
    return [part for parts in classes.values() for part in parts]


def sources_of_set(name):
    """The sources of an external set, with their options."""
    used = {part["source"] for part in parts_of(config["external"][name])}
    return {
        name: options for name, options in config["sources"].items() if name in used
    }


def outcome_parts(spec):
    """An outcome's parts by source: column and filter."""
    return {
        source: {"source": source, "column": column, "where": spec["where"]}
        for source, column in spec["columns"].items()
    }


# What images are taken for their scores and outcomes alone.
SCORED_PARTS = [
    *config["scores"].values(),
    *(part for s in config["outcomes"].values() for part in outcome_parts(s).values()),
]


def sources_of_study():
    """The sources without those that serve external sets only, so that a set more leaves the run."""
    used = {part["source"] for part in parts_of(config["classes"])}
    if config["timeline"]:
        used.add(config["timeline"]["source"])
    elsewhere = {
        source for name in config["external"] for source in sources_of_set(name)
    } | {part["source"] for part in SCORED_PARTS}
    return {
        name: options
        for name, options in config["sources"].items()
        if name in used or name not in elsewhere
    }


def placed(place, sources=config["sources"]):
    """Names of the sources whose files are `fetched`, `made` or the user's `own`."""
    return [name for name in sources if open_source(sources[name]).place == place]


def folders_of(sources):
    """Folders of the sources whose files a rule fetches or makes."""
    fetched = [f"{RESOURCES}/{name}" for name in placed("fetched", sources)]
    return fetched + [f"{RUN}/phantoms/{name}" for name in placed("made", sources)]


def own_files_of(sources):
    """The user's files that list the images of sources."""
    return [
        local(str(file))
        for s in sources.values()
        for file in open_source(s).own_files()
    ]


def content_of(sources):
    """Of each source what changes with its type's code and with images that are read where they lie."""
    return {
        name: [
            step_digest(f"data/sources/{options['type']}"),
            open_source(options).fingerprint(FINGERPRINTS),
        ]
        for name, options in sources.items()
    }


SHARDS = config["performance"]["shards"]


def sharded(file):
    """Output of what may work in shards: a file or, of each shard, a part that `join` adds to the file."""
    if SHARDS == 1:
        return update(file)
    return temp(file.replace(f"{RUN}/", f"{RUN}/shards/{{shard}}/"))


# The run's images, and which of them train and test.
STUDY = [
    f"{RUN}/{name}"
    for name in ("data/manifest.csv", "data/split.csv", "images/manifest.npy")
]


def lung_boxes(wildcards):
    """Coefficients of the estimate of lungs: part of what a step computes, like its code, but no code."""
    return LUNG_BOXES


def filters_of(wildcards):
    """Every filter by which the run selects from a source."""
    parts = parts_of(config["classes"])
    if config["timeline"]:
        parts.append(config["timeline"])
    for chosen in config["external"].values():
        parts += parts_of(chosen)
    parts += SCORED_PARTS
    return [part["where"] for part in parts if part["source"] == wildcards.source]


def content_of_fetched(wildcards):
    """What changes with the code of the source's type and with what it reads of a local mirror."""
    options = config["sources"][wildcards.source]
    digest = step_digest(f"data/sources/{options['type']}")
    return [digest, mirrored(*open_source(options).mirrored)]


EXTERNAL = list(config["external"])
EXTERNAL_FEATURES = f"{RUN}/features/{{backbone}}/external/{{set}}.npy"
EXTERNAL_TABLES = expand(f"{RUN}/data/external/{{set}}.csv", set=EXTERNAL)
# Tables of all images of the run and of external sets.
TABLES = [f"{RUN}/data/manifest.csv", *EXTERNAL_TABLES]
STUDY_SOURCES = sources_of_study()
WEIGHTS = {backbone: config["weights"][backbone] for backbone in BACKBONES}
# The augmentation whose models are explained and exported.
SHOWN = config["explain"]["augmentation"]
# The ensemble that learned from all training images.
ENSEMBLE = f"{RUN}/models/study/{{backbone}}/{{augmentation}}.keras"


# A CycleGAN learns from all populations, so their models go without synthetic images.
POPULATIONS = config["populations"]
# The run's own population is a value like the others: all of its training images.
SOURCES_OF = {"study": None, **POPULATIONS}
BY_SITE = config["split"]["unit"] == "site"
# Where the folds are of sites, the same images in folds of patients stand beside them.
if BY_SITE:
    SOURCES_OF["by_patient"] = None
SPLIT = f"{RUN}/data/populations/{{population}}.csv"
MODEL = "{population}/{backbone}/{augmentation}"
HEAD = f"{RUN}/heads/{MODEL}/{{fold}}.keras"
HISTORY = f"{RUN}/history/{MODEL}/{{fold}}.csv"
FOLD_PREDICTIONS = f"{RUN}/predictions/{MODEL}/{{fold}}.csv"
CLASSIFIER = f"{RUN}/models/{{population}}/{{backbone}}/{{classifier}}.joblib"


# Augmentations with a transform of their own have banks of their own; the others share one.
OWN_TRANSFORMS = [
    name for name, options in config["augmentations"].items() if "transform" in options
]


def bank(images, augmentation=None):
    """Feature bank of the images of a table, for a backbone: clean, views, rows."""
    own = f"_{augmentation}" if augmentation in OWN_TRANSFORMS else ""
    folder = f"{RUN}/features/{{backbone}}/{images}{own}"
    return [f"{folder}/clean.npy", f"{folder}/views.npy", f"{folder}/rows.csv"]


def split_bank(name):
    """Images of a bank, and the augmentation whose own transform it is made with, if any."""
    for augmentation in OWN_TRANSFORMS:
        if name.endswith(f"_{augmentation}"):
            return name.removesuffix(f"_{augmentation}"), augmentation
    return name, None


def images_of(name):
    """Name of the images of a bank."""
    return split_bank(name)[0]


def transform_of(name):
    """Random transform of a bank; with the code of one's own function, whose edits make it stale."""
    _, augmentation = split_bank(name)
    own = config["augmentations"][augmentation]["transform"] if augmentation else {}
    transform = config["transform"] | own
    if transform["function"]:
        transform["code"] = code_digest(transform["function"].rpartition(":")[0])
    return transform


SYNTHETIC_IN = {
    name: settings["synthetic"] for name, settings in config["augmentations"].items()
}
PLAIN = [name for name, number in SYNTHETIC_IN.items() if not number]


IMAGE_TABLE = r"manifest|timeline|severity|external/\w+"
BANK = rf"(manifest|synthetic(_fold\d+)?)({'|'.join(['', *(f'_{name}' for name in OWN_TRANSFORMS)])})"


wildcard_constraints:
    shard=r"\d+of\d+",
    set="|".join(EXTERNAL) or "(?!)",
    backbone="|".join(BACKBONES),
    augmentation="|".join(AUGMENTATIONS),
    classifier="|".join(CLASSIFIERS),
    fold=r"fold\d+",
    population="|".join(SOURCES_OF),


def step(name):
    """Name of step `<stage>/<rule>`, which `scripts/run.py` runs, the digest of its code, and the wildcards.

    The digest is made when a job asks for it: a job's own Snakemake needs one, not all. A result in the cache is found
    by inputs and parameters alone, which shards of one file have in common.
    """
    return lambda wildcards: " ".join([name, step_digest(name), *wildcards])


def job(mb, minutes, gpu=0):
    """Resources of a job: memory in MB and run time, which grow with each attempt, and GPUs."""
    return dict(
        mem_mb=lambda wildcards, attempt: mb * attempt,
        runtime=lambda wildcards, attempt: minutes * attempt,
        gpu=gpu,
    )


def every_model(pattern, **fixed):
    """Paths of every backbone and augmentation, in the order of `HEADS`."""
    return expand(pattern, backbone=BACKBONES, augmentation=AUGMENTATIONS, **fixed)


# A run that trains the whole network has no cached features for other classifiers.
HEADS = list(product(BACKBONES, AUGMENTATIONS))
ON_FEATURES = list(CLASSIFIERS) if config["training"]["trainable"] != "all" else []


def select(settings, *keys):
    """The given keys of a part of the config, where they are there."""
    return {key: settings[key] for key in keys if key in settings}


PREDICTIONS = f"{RUN}/predictions/predictions.csv"


def augmentations_of(population):
    """The augmentations in which networks of a population are trained."""
    return AUGMENTATIONS if population == "study" else PLAIN


def predicted_files():
    """What every job writes of its predictions, of all populations, classifiers and sets."""
    files = []
    for population in SOURCES_OF:
        folder = f"{RUN}/predictions/{population}/{{backbone}}"
        patterns = expand(
            FOLD_PREDICTIONS,
            population=population,
            augmentation=augmentations_of(population),
            fold=FOLDS,
            allow_missing=True,
        )
        patterns += [f"{folder}/{name}.csv" for name in ON_FEATURES]
        patterns += [f"{folder}/external.csv"] if EXTERNAL else []
        files += expand(patterns, backbone=BACKBONES)
    return files


def mirrored(*places):
    """Fingerprint of the places of a local mirror that a download rule reads; empty without one."""
    mirror = config["mirror"]
    if mirror is None or is_url(mirror):
        return ""
    return fingerprint([Path(mirror) / place for place in places], FINGERPRINTS)


def weight_file(wildcards):
    """The weight file of a backbone: fetched, the user's own, or none."""
    weights = config["weights"][wildcards.backbone]
    if weights == "random":
        return []
    return (
        f"{RESOURCES}/weights/{wildcards.backbone}.h5"
        if weights == "imagenet"
        else local(weights)
    )


def synthetic_bank(wildcards):
    """Table and feature bank of the synthetic images, for the augmentations that use some."""
    if not SYNTHETIC_IN[wildcards.augmentation]:
        return []
    own = (
        f"synthetic_{wildcards.fold}" if config["cyclegan"]["per_fold"] else "synthetic"
    )
    return [f"{RUN}/data/{own}.csv", *bank(own, wildcards.augmentation)]


def figure(name, category, label):
    """Outputs of a figure: the PNG, which Snakemake's own report shows, and the SVG."""
    return dict(
        png=report(
            update(f"{RUN}/figures/{name}.png"),
            category=category,
            caption="../report/caption.rst",
            labels={"figure": label},
        ),
        svg=update(f"{RUN}/figures/{name}.svg"),
    )


def table(name, label):
    """Output of a table, shown in Snakemake's own report."""
    return report(
        update(f"{RUN}/tables/{name}.csv"),
        category="Tables",
        caption="../report/caption.rst",
        labels={"table": label},
    )


def section(name, when=True):
    """Output of the report's section that a step writes beside its tables and figures.

    The report takes it, and with it every PNG, SVG and CSV file that the same rule writes, unless
    `when` is false: then the rule is there, but this run does not show it.
    """
    path = f"{RUN}/sections/{name}.json"
    if when:
        SECTIONS.append(path)
    return update(path)


def shown_with_sections():
    """The figures and tables of the rules that write the report's sections."""
    return [
        path
        for rule in workflow.rules
        if rule.output.get("section") in SECTIONS
        for path in map(str, rule.output)
        if path.endswith((".png", ".svg", ".csv"))
    ]


def own_table(source):
    """The table of a source itself, and its column that names the image."""
    options = config["sources"][source]
    if "table" in options:
        return options["table"], "path"
    [folder] = folders_of({source: options})
    return f"{folder}/metadata.csv", "filename"


def score_table_of(spec):
    """Path of the table of a score or outcome, and its column that names the image."""
    table, key = own_table(spec["source"])
    if spec.get("table"):
        fetched = f"{RESOURCES}/scores/{spec['table']}.csv"
        table = fetched if spec["table"] in PUBLIC_SCORES else spec["table"]
        key = "filename"
    return {"table": table, "key": spec.get("key") or key}
