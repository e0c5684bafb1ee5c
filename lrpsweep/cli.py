"""The command line: parses, calls, prints. Everything heavy is imported where it is used."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrpsweep import __version__
from lrpsweep.errors import InputError, WorkError

if TYPE_CHECKING:
    from lrpsweep.study import StudySpec
    from lrpsweep.trial.context import Given

FAILED, WRONG_INPUT = 1, 2

runs_dir_option = click.option(
    "--runs-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    envvar="LRPSWEEP_RUNS_DIR",
    help="Folder in which studies keep their results.",
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a field of the study, e.g. --set evaluation.patch=4. Repeatable.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
study_argument = click.argument("study")
code_option = click.option(
    "--allow-code", is_flag=True, help="Let the study import the code of its model.factory."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lrpsweep")
def cli() -> None:
    """Finds the LRP composite with the most faithful heatmaps for your network and your images.

    STUDY is a YAML file, a bundled name (quickstart), or the name of a study in the runs folder.
    """


def main() -> None:
    """Entry point: a wrong input is a sentence and exit code 2, a failure one and exit code 1."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(WRONG_INPUT)
    except click.Abort:
        click.echo("lrpsweep: interrupted.", err=True)
        sys.exit(FAILED)
    except InputError as error:
        click.echo(f"lrpsweep: {error}", err=True)
        sys.exit(WRONG_INPUT)
    except WorkError as error:
        click.echo(f"lrpsweep: {error}", err=True)
        sys.exit(FAILED)
    except Exception as error:
        if os.environ.get("LRPSWEEP_DEBUG"):
            raise
        click.echo(
            f"lrpsweep: {type(error).__name__}: {error} (LRPSWEEP_DEBUG=1 shows where).", err=True
        )
        sys.exit(FAILED)


def _load(study: str, runs_dir: Path, overrides: Sequence[str] = ()) -> StudySpec:
    from lrpsweep.study import find_study, load_study

    return load_study(find_study(study, runs_dir), overrides)


def _given(allow_code: bool) -> Given:
    from lrpsweep.trial.context import Given

    return Given(allow_code=allow_code)


@cli.command()
@study_argument
@set_option
@runs_dir_option
@json_option
@code_option
def validate(
    study: str, overrides: Sequence[str], runs_dir: Path, as_json: bool, allow_code: bool
) -> None:
    """Check a study, its model and its images, without running a trial."""
    from lrpsweep.commands.describe import describe_study, described_lines
    from lrpsweep.trial.context import prepare

    spec = _load(study, runs_dir, overrides)
    described = describe_study(prepare(spec, given=_given(allow_code)))
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    click.echo(f"{spec.path}: valid.")
    for line in described_lines(described):
        click.echo(line)


@cli.command()
@click.option("--model", required=True, help="'scenes' or the name of a torchvision classifier.")
@click.option("--weights", help="Weights: a torchvision enum name, or a file.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder with a folder per class.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: NAME.yaml."
)
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
def init(
    model: str, weights: str | None, images: Path | None, output: Path | None, force: bool
) -> None:
    """Write a commented, valid study for a model and a folder of images."""
    from lrpsweep.commands.describe import propose_study
    from lrpsweep.files import write_atomically

    target = output or Path(f"{model}.yaml")
    if target.exists() and not force:
        raise InputError(f"{target}: exists already; expected a new file, or --force.")
    write_atomically(target, propose_study(model, weights, images, target))
    click.echo(f"{target}: written. Next: lrpsweep validate {target}")


@cli.command()
@click.argument("model")
@click.option("--size", type=click.IntRange(min=1), help="Pixels of the images; else the model's.")
@click.option(
    "--composite", help="Show this composite layer by layer: a preset, or a composite.json."
)
@runs_dir_option
@json_option
@code_option
def blocks(
    model: str,
    size: int | None,
    composite: str | None,
    runs_dir: Path,
    as_json: bool,
    allow_code: bool,
) -> None:
    """Show a network's layers, and blocks found in it as YAML for a study.

    MODEL is 'scenes', a torchvision classifier, a factory as module:function, or a STUDY.
    """
    from lrpsweep.commands.blocks import blocks_lines, describe_blocks, find_network
    from lrpsweep.commands.describe import describe_composite

    network = find_network(model, runs_dir, allow_code=allow_code)
    if composite is not None:
        found = describe_composite(composite, network)
        lines = [found["title"], "", *found["table"]]
    else:
        found = describe_blocks(network, size)
        lines = blocks_lines(found)
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(lines))


@cli.command()
@study_argument
@set_option
@runs_dir_option
@click.option(
    "--address",
    envvar="RAY_ADDRESS",
    help="Ray cluster to run on ('auto' or host:port); local if not given.",
)
@click.option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="MLflow server or store.")
@click.option("--no-tracking", is_flag=True, help="Publish nothing to MLflow.")
@click.option("--takeover", is_flag=True, help="Take the study over from a driver that holds it.")
@click.option("--retry-failed", is_flag=True, help="Run failed trials anew.")
@code_option
def run(
    study: str,
    overrides: Sequence[str],
    runs_dir: Path,
    address: str | None,
    tracking_uri: str | None,
    no_tracking: bool,
    takeover: bool,
    retry_failed: bool,
    allow_code: bool,
) -> None:
    """Run a study, or go on with it: finished trials are kept."""
    from lrpsweep.commands.progress import Watcher
    from lrpsweep.commands.run import outcome_lines
    from lrpsweep.commands.run import run as run_spec

    spec = _load(study, runs_dir, overrides)
    uri = None if no_tracking else _tracking(spec, tracking_uri, runs_dir)
    with Watcher() as watcher:
        results = run_spec(
            spec,
            runs_dir,
            allow_code=allow_code,
            address=address,
            takeover=takeover,
            retry_failed=retry_failed,
            tracking_uri=uri,
            observer=watcher,
        )
    for line in outcome_lines(results, runs_dir):
        click.echo(line)
    if uri is not None:
        local = uri.startswith("sqlite:")
        click.echo(f"MLflow:    {'lrpsweep ui --tracking-uri ' if local else ''}{uri}")


def _tracking(spec: StudySpec, given: str | None, runs_dir: Path) -> str:
    from lrpsweep.report.mlflow import default_uri

    return given or spec.run.tracking_uri or default_uri(runs_dir)


@cli.command()
@study_argument
@set_option
@runs_dir_option
@json_option
def status(study: str, overrides: Sequence[str], runs_dir: Path, as_json: bool) -> None:
    """How far a study is, read from its database alone."""
    from lrpsweep.commands.status import study_status

    found = study_status(_load(study, runs_dir, overrides), runs_dir)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        click.echo(f"{name}: {value}")


@cli.command()
@study_argument
@set_option
@runs_dir_option
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path))
@code_option
def report(
    study: str,
    overrides: Sequence[str],
    runs_dir: Path,
    output: Path | None,
    allow_code: bool,
) -> None:
    """Write the study's report: one HTML file that loads nothing from outside."""
    from lrpsweep.commands.report import write_study_report

    spec = _load(study, runs_dir, overrides)
    path = write_study_report(spec, runs_dir, output, _given(allow_code))
    click.echo(f"{path}: written.")


@cli.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@runs_dir_option
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("comparison.png"),
    show_default=True,
)
def compare(studies: Sequence[str], runs_dir: Path, output: Path) -> None:
    """Put studies that were run side by side: best trials, and how all scores spread."""
    from lrpsweep.commands.compare import compare_studies

    specs = [_load(study, runs_dir) for study in studies]
    for line in compare_studies(specs, runs_dir, output):
        click.echo(line)


@cli.command()
@study_argument
@set_option
@runs_dir_option
@click.option("--trial", type=int, help="A trial of your choice; needs --unvalidated.")
@click.option("--unvalidated", is_flag=True, help="Accept a composite that was not validated.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "zennit"]),
    default="json",
    show_default=True,
    help="zennit: a Python file that needs torch and zennit alone.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Default: composite.json, or composite.py for zennit.",
)
@code_option
def export(
    study: str,
    overrides: Sequence[str],
    runs_dir: Path,
    trial: int | None,
    unvalidated: bool,
    form: str,
    output: Path | None,
    allow_code: bool,
) -> None:
    """Write the recommended composite as JSON, or for zennit."""
    from lrpsweep.commands.export import export_composite

    for_zennit = form == "zennit"
    said = export_composite(
        _load(study, runs_dir, overrides),
        runs_dir,
        output or Path("composite.py" if for_zennit else "composite.json"),
        trial=trial,
        unvalidated=unvalidated,
        for_zennit=for_zennit,
        given=_given(allow_code),
    )
    click.echo(said)


@cli.command()
@click.argument("image", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--composite", required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--model", help="Another model than the file names; a factory as module:function.")
@click.option("--weights", help="Another enum name or file of weights than the file names.")
@click.option("--other-weights", is_flag=True, help="Allow weights it was not tuned on.")
@click.option(
    "--unexplained",
    type=click.FloatRange(min=0),
    default=0.01,
    show_default=True,
    help="Share of the score that may stay unexplained; more is an error.",
)
@click.option("--target", help="Class to explain, index or name; the predicted one by default.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("heatmap.png"),
    show_default=True,
    help="A picture, or .npy for the numbers.",
)
@code_option
def explain(
    image: Path,
    composite: Path,
    model: str | None,
    weights: str | None,
    other_weights: bool,
    unexplained: float,
    target: str | None,
    device: str,
    output: Path,
    allow_code: bool,
) -> None:
    """Explain IMAGE with a recommended composite."""
    from lrpsweep.commands.picture import explain_image

    said = explain_image(
        image,
        composite,
        output,
        target=target,
        model=model,
        weights=weights,
        device=device,
        other_weights=other_weights,
        unexplained=unexplained,
        allow_code=allow_code,
    )
    click.echo(said)


@cli.command()
@study_argument
@set_option
@runs_dir_option
@click.option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="MLflow server or store.")
@code_option
def publish(
    study: str,
    overrides: Sequence[str],
    runs_dir: Path,
    tracking_uri: str | None,
    allow_code: bool,
) -> None:
    """Rebuild a study's MLflow runs from its database."""
    from lrpsweep.commands.report import publish_study

    spec = _load(study, runs_dir, overrides)
    uri = _tracking(spec, tracking_uri, runs_dir)
    publish_study(spec, runs_dir, uri, _given(allow_code))
    click.echo(f"{spec.name}: published to {uri}")


@cli.command()
@runs_dir_option
@click.option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="MLflow store to show.")
@click.option("--port", default=5000, show_default=True)
def ui(runs_dir: Path, tracking_uri: str | None, port: int) -> None:
    """Open MLflow's UI on 127.0.0.1."""
    from lrpsweep.report.mlflow import default_uri, open_ui

    open_ui(tracking_uri or default_uri(runs_dir), port=port)


@cli.command()
def doctor() -> None:
    """Print what a report of a problem should bring: versions, plugins, processors, GPUs."""
    import platform
    from importlib import metadata

    import torch

    from lrpsweep.registry import load_plugins

    click.echo(f"lrpsweep {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for package in ("torch", "torchvision", "optuna", "ray", "mlflow", "opencv-python-headless"):
        click.echo(f"{package} {metadata.version(package)}")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    click.echo(f"{os.cpu_count()} processors; GPUs: {', '.join(gpus) or 'none'}")
    for plugin in load_plugins():
        click.echo(f"plugin {plugin.name} {plugin.version}")
