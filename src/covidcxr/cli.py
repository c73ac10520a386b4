"""The command `covidcxr`: trained models on new images, and the workflow's common calls."""

import os
import shlex
import shutil
import subprocess
import sys
import webbrowser
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer
import yaml

from covidcxr import __version__
from covidcxr.errors import InputError
from covidcxr.logs import step
from covidcxr.provenance import share_folder

PROFILE = Path("profiles/default")

SOME_UNREADABLE = 3
"""Exit status where some files could not be read; the others have their predictions."""

TEMPLATES = {"study": "config"}
"""Configurations whose file has another name than `init --for`."""

STOPPED = 130
"""Exit status after Ctrl-C, as of any program; the rows written so far stay."""

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Chest X-ray classifiers: train, report, predict. No medical device; for research only.",
)

Config = Annotated[
    Path,
    typer.Argument(
        exists=True, dir_okay=False, help="Configuration of the run, such as config/demo.yaml."
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing but what is wrong; the log has the rest.")
]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"covidcxr {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which it is.")
    ] = False,
) -> None:
    """Take options that stand before the command."""


@app.command(
    epilog="Exit status: 0 all files have a prediction; 3 some have a problem (column `problem` "
    "says which), the others have theirs; 1 nothing could be done; 2 wrong usage; 130 stopped by "
    "Ctrl-C, the rows written so far stay."
)
def predict(
    model: Annotated[
        Path,
        typer.Argument(
            help="A model file, or the folder that holds it: "
            "results/<run>/models/<population>/<backbone>/<augmentation>.keras is an ensemble, "
            "whose members vote by their mean probability."
        ),
    ],
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Files, and folders of files at any depth: PNG, JPEG, TIFF, DICOM and others, by "
            "their content, whatever they are called."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder for predictions.csv, heatmaps/, NOTICE.txt, predict.log."),
    ],
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names of the classes, separated by commas, for models that do not hold theirs."
        ),
    ] = None,
    severity: Annotated[
        Path | None,
        typer.Option(
            help="A run's model of severity, results/<run>/severity/<backbone>/<score>.joblib, to "
            "write the score and its zones too. Use files that you trust: loading one runs it."
        ),
    ] = None,
    heatmaps: Annotated[
        bool, typer.Option(help="Write Grad-CAM of the predicted class over each image.")
    ] = True,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads.")] = os.cpu_count() or 1,
    quiet: Quiet = False,
) -> None:
    """Classify chest radiographs with a trained model. No medical device: never for patients.

    Files are decoded and scaled as in training. Of DICOM files the grayscale pipeline is applied
    (modality and VOI tables, windows, MONOCHROME1 inverted); several frames, colour, other
    modalities than radiographs and raw detector data are refused, in words, and the run goes on.
    """
    names = None if classes is None else [name.strip() for name in classes.split(",")]
    with step(quiet=quiet):
        from covidcxr.deploy.request import LOG, NOTICE, TABLE, check

        request = check(model, images, out, classes=names, severity=severity)
    with step(out / LOG, quiet=quiet):
        from covidcxr.deploy.predict import predict as predict_files

        outcome = predict_files(request, heatmaps=heatmaps, threads=threads)
    total, predicted = len(request.files), outcome.classes.total()
    if not quiet:
        for name, count in outcome.classes.most_common():
            typer.echo(f"{count:6d}  {name}")
        typer.echo(f"{NOTICE}\n{out / TABLE}")
        typer.echo(
            f"{'Stopped: ' * outcome.stopped}{predicted} of {total} files have a prediction"
            + (f", {outcome.problems} a problem (column `problem`)" if outcome.problems else "")
        )
    if outcome.stopped:
        raise typer.Exit(STOPPED)
    if outcome.problems:
        raise typer.Exit(SOME_UNREADABLE if predicted else 1)


@app.command()
def card(model: Annotated[Path, typer.Argument(help="A model file.")]) -> None:
    """Print what a model says of itself: classes, data, metrics, licences, warnings."""
    with step():
        from covidcxr.deploy.release import describe

        said = describe(model)
    text = yaml.safe_dump(
        said, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
    )
    typer.echo(text, nl=False)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write; made where it is not there.")],
    kind: Annotated[
        Literal["own", "study", "demo"],
        typer.Option("--for", help="Your own images, the published study, or the demo."),
    ] = "own",
) -> None:
    """Write a commented configuration, and profiles for one machine and for a cluster."""
    with step():
        share = share_folder()
        config, profiles = folder / "config.yaml", folder / PROFILE.parent
        for path in (config, profiles):
            if path.exists():
                raise InputError(f"{path} is there already; nothing was written")
        text = (share / "config" / f"{TEMPLATES.get(kind, kind)}.yaml").read_text()
        shutil.copytree(share / PROFILE.parent, profiles)
        # An editor finds the schema where it is installed.
        config.write_text(text.replace("$schema=..", f"$schema={share}"))
    edit = "edit config.yaml, then: " if kind == "own" else ""
    typer.echo(f"cd {shlex.quote(str(folder))}; {edit}covidcxr run config.yaml")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    config: Config,
    cores: Annotated[str, typer.Option(help="Processors to use, or `all`.")] = "all",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would run, and why.")
    ] = False,
) -> None:
    """Run the workflow: what is missing or out of date, nothing else.

    What follows the configuration is handed to Snakemake: a target (data, synthetic, models,
    tables, figures) or any option of its own. The command is printed before it runs.
    """
    flags = ["--cores", cores, *(["--dry-run"] if dry_run else []), *context.args]
    raise typer.Exit(snakemake(config, flags))


@app.command()
def status(config: Config) -> None:
    """Say what of a run is there, and which jobs are still to do (a dry run of Snakemake)."""
    with step():
        results = results_of(config)
    report = results / "report.html"
    models = len(list(results.glob("heads/*/*/*/*.keras")))
    there = "is there" if report.is_file() else "is not there yet"
    typer.echo(f"{results}: {models} trained models; the report {there}")
    raise typer.Exit(snakemake(config, ["--dry-run", "--quiet", "rules"]))


@app.command()
def report(
    config: Config,
    show: Annotated[bool, typer.Option("--open", help="Open it in the web browser.")] = False,
    archive: Annotated[
        Path | None,
        typer.Option(help="Also write Snakemake's own report, with run times, to this .zip file."),
    ] = None,
) -> None:
    """Say where the report of a run is; it must have been run."""
    with step():
        path = results_of(config) / "report.html"
        if not path.is_file():
            raise InputError(f"{path} is not there yet: covidcxr run {shlex.quote(str(config))}")
    typer.echo(path)
    if show:
        webbrowser.open(path.resolve().as_uri())
    if archive is not None:
        raise typer.Exit(snakemake(config, ["--report", str(archive)]))


def results_of(config: Path) -> Path:
    """Return the folder of the results of a configuration, in the current folder.

    Raises
    ------
    InputError
        The file is no configuration with a name of the run.
    """
    try:
        content = yaml.safe_load(config.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{config} is no YAML file: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("run"), str):
        raise InputError(f"{config} has no key `run`, the name of the run")
    return Path("results") / content["run"]


def snakemake(config: Path, flags: Sequence[str]) -> int:
    """Print a Snakemake command, run it in the current folder and return its exit status.

    The workflow is the one of this package, whatever lies in the current folder; the profile is the
    one beside the configuration, else the package's.
    """
    with step():
        if find_spec("snakemake") is None:
            raise InputError("Snakemake is not installed: pip install 'covidcxr[workflow]'")
        share = share_folder()
    own = config.parent / PROFILE
    profile = own if own.is_dir() else share / PROFILE
    place = ["--snakefile", str(share / "workflow/Snakefile"), "--workflow-profile", str(profile)]
    # A bare name after --configfile would be taken for a further file, so the flags come first.
    command = ["snakemake", *place, *flags, "--configfile", str(config)]
    if not {"-q", "--quiet"} & set(flags):
        typer.echo(f"+ {shlex.join(command)}", err=True)
    return subprocess.run([sys.executable, "-m", *command], check=False).returncode
