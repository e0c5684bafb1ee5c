"""Where a command may write: a name of the right kind, and no file that it reads."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from lrpsweep.data.files import SUFFIXES
from lrpsweep.errors import InputError
from lrpsweep.study import StudySpec, resolve_path
from lrpsweep.sweep.storage import database_file


def check_output(output: Path, suffixes: tuple[str, ...], inputs: Mapping[Path, str]) -> None:
    """Raises InputError when a command cannot or must not write there.

    suffixes: the endings there are. inputs: as `check_no_input`.
    """
    if output.suffix not in suffixes:
        raise InputError(
            f"--output {output}: expected a name that ends in {' or '.join(suffixes)}."
        )
    if not output.parent.is_dir():
        raise InputError(f"--output {output}: there is no folder '{output.parent}'.")
    check_no_input(output, inputs)


def check_no_input(output: Path, inputs: Mapping[Path, str]) -> None:
    """Raises InputError when writing there would change what the command reads.

    inputs: its files and folders of images, with what each is to the command.
    """
    for path, meaning in inputs.items():
        if _same(output, path):
            raise InputError(
                f"--output {output}: is {meaning}, which would be overwritten; expected another "
                "file."
            )


def _same(output: Path, path: Path) -> bool:
    """Whether writing `output` changes the file `path`, or an image in the folder `path`."""
    if not (output.exists() and path.exists()):
        return False
    if path.is_dir():
        return output.suffix.lower() in SUFFIXES and path.resolve() in output.resolve().parents
    return output.samefile(path)


def study_inputs(spec: StudySpec, runs_dir: Path) -> dict[Path, str]:
    """What a command about a study reads, with what it is."""
    found = {spec.path: "the study file", runs_dir / "mlflow.db": "the database of MLflow"}
    database = database_file(spec.run.storage, runs_dir, spec.name, spec.base)
    if database is not None:
        found[database] = "the study's database"
    data, model = spec.data, spec.model
    for text, meaning in (
        (data.folder, "one of the study's images"),
        (data.root, "one of the study's images"),
        (data.csv, "the study's table of images"),
        (model.weights, "the study's weights"),
        *((path, "a composite that the study starts from") for path in spec.start_from or ()),
    ):
        if text is not None:
            with contextlib.suppress(InputError):  # of a variable that is not set: nothing is read
                found[resolve_path(text, spec.base)] = meaning
    found.update((path, "the code of the study's network") for path in _code(model.factory))
    return found


def _code(factory: str | None) -> Iterator[Path]:
    """Where the module of 'module:function' may lie; nothing is imported."""
    if factory is not None:
        module = Path(*factory.partition(":")[0].split("."))
        yield from (Path(folder, module).with_suffix(".py") for folder in sys.path)
