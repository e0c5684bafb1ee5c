"""Studies as text: rewritten for another folder, or proposed for a model and its images."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lrpsweep.composites.block import Block, find_rule
from lrpsweep.composites.values import names_in
from lrpsweep.files import write_atomically
from lrpsweep.registry import find_registry
from lrpsweep.study.dimensions import Choice, Dimension, Log
from lrpsweep.study.fields import ModelSpec, StudySpec
from lrpsweep.study.overrides import override
from lrpsweep.study.yaml_text import NUMBER, read_yaml


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _word(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """In quotes where it would be read as a number; PyYAML knows fewer of those, 09 and 1e5 not."""
    style = "'" if NUMBER.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _word)


def dump(raw: Any) -> str:
    """Raw values as YAML that `read_yaml` reads back the same."""
    text: str = yaml.dump(_lists(raw), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def _lists(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {key: _lists(value) for key, value in raw.items()}
    return [_lists(value) for value in raw] if isinstance(raw, tuple) else raw


def write_study(study: StudySpec, path: Path) -> None:
    """Writes the study so that it means the same when read from `path`.

    Verbatim where it can be; relative paths become absolute (and comments are lost) when the file
    moves to another folder.
    """
    raw = read_yaml(study.text)
    text = study.text
    if path.parent.resolve() != study.base.resolve():
        for field, value in _relative_paths(study).items():
            moved = str(study.base.resolve() / value)
            raw = override(raw, f"{field}={json.dumps(moved)}")
            text = dump(raw)
    write_atomically(path, text)


def _relative_paths(study: StudySpec) -> dict[str, str]:
    weights = study.model.weights
    is_file = weights is not None and Path(weights).suffix in (".safetensors", ".pt", ".pth")
    paths = {f"data.{field}": getattr(study.data, field) for field in ("folder", "csv", "root")}
    paths["model.weights"] = weights if is_file else None
    paths["current"] = study.current if Path(study.current or "").suffix == ".json" else None
    paths |= {f"start_from.{i}": path for i, path in enumerate(study.start_from or ())}
    return {
        field: text
        for field, text in paths.items()
        if text is not None and not Path(text).is_absolute() and text[:1] not in ("$", "~")
    }


def propose_block(name: str, layers: tuple[str, ...], rule: str) -> Block:
    """A block for a new study: what the rule needs is searched, as '$NAME.PARAMETER'."""
    needed = [p.name for p in find_rule(rule, "rule").parameters if p.default is None]
    return Block(name, layers, rule, {parameter: f"${name}.{parameter}" for parameter in needed})


PROPOSED: Mapping[str, Dimension] = {
    "gamma": Log(log=(1e-3, 1.0), zero=True, points=7),
    "epsilon": Log(log=(1e-3, 1.0), zero=True, points=7),
    "alpha": Choice(choice=(1, 2)),
}
MOST_SEARCHED, MOST_SELECTED, MOST_VALIDATED = 32, 16, 64
LEAST_TO_SELECT = 40  # images, below which none are spared for the selection
MOST_GRID_POINTS = 49
TRIALS_PER_NAME, FEWEST_TRIALS = 20, 40

_TEMPLATE = """\
# Check it with `lrpsweep validate`, then `lrpsweep run`. All keys: see the README.
version: 2
name: {name}
model: {model}
data:
  folder: {folder}    # one folder of images for each class; ${{VAR}} may stand here
  labels: {labels}    # what folder names are: index | name | a map {{folder: class}}
  target: label    # the class that is explained: label | prediction | a class
  # Composites are compared on the search images, the five best of them on the selection images
  # (0: not at all). The nominee is judged on the validation images: fewer than 20 decide nothing.
  split: {{search: {search}, selection: {selection}, validation: {validation}, seed: 0}}
{blocks}
evaluation: {{patch: {patch}}}    # pixels; the rest as in protocol `default`
objective: srg    # LeRF − MoRF; or auc_lerf, auc_morf; the direction is known
guards: {{auc_morf: 5}}    # per cent of the range by which the nominee may be behind the best
{sampler}
# states: auto: trials on as few states as a pilot of 16 shows to be enough, the finalists on all.
# racing: what is clearly behind is stopped. lag: a trial is proposed from all results but those of
# the 8 before it, so that up to 8 workers find the same.
economy: {economy}
run: {{device: auto, cpus: 1, gpus: 0, cache_gb: 2}}    # changes no result
"""

_BLOCKS = """\
search:    # log | linear | int | choice; zero: true adds 0 to a log range; blocks may share a name
{search}
composite:    # from the pixels to the class scores; rules: {rules}
{composite}"""


def blocks_text(blocks: Sequence[Block]) -> str:
    """The part of a study that says what is searched: `search` and `composite`."""
    return _BLOCKS.format(
        search="\n".join(f"  {name}: {_flow(_proposed(name).text())}" for name in _names(blocks)),
        rules=", ".join(rule.name for rule in find_registry("rule").values() if rule.for_weights),
        composite="\n".join(f"  - {_flow(_block(block))}" for block in blocks),
    )


def _names(blocks: Sequence[Block]) -> dict[str, None]:
    """What proposed blocks search, in order."""
    given = [value for block in blocks for value in block.values.values()]
    return dict.fromkeys(name for value in given for name in names_in(value))


def shared_out(images: int) -> tuple[int, int, int]:
    """How many of the images to search on, to select on and to validate on: as 2 to 1 to 4, at
    most 32, 16 and 64; as 1 to 0 to 2 where there are few. One is searched on in any case."""
    if images < LEAST_TO_SELECT:
        search, selection = max(1, images // 3), 0
    else:
        search = min(MOST_SEARCHED, images * 2 // 7)
        selection = min(MOST_SELECTED, images // 7)
    return search, selection, min(MOST_VALIDATED, images - search - selection)


def init_text(
    *,
    name: str,
    model: ModelSpec,
    folder: str,
    labels: str | Mapping[str, int | str],
    images: int,
    patch: int,
    blocks: Sequence[Block],
) -> str:
    """A commented study, ready to be edited.

    images: how many there are; `shared_out` divides them.
    """
    search, selection, validation = shared_out(images)
    return _TEMPLATE.format(
        name=_flow(name),
        model=_flow(model.model_dump(exclude_unset=True)),
        folder=_flow(folder),
        labels=_flow(labels),
        search=search,
        selection=selection,
        validation=validation,
        blocks=blocks_text(blocks),
        patch=patch,
        sampler=_sampler(_names(blocks)),
        economy=_economy(_names(blocks)),
    )


def _points(names: Collection[str]) -> int:
    return math.prod(len(_proposed(name).grid()) for name in names)


def _economy(names: Collection[str]) -> str:
    """Fewer states only where there are trials to save them on."""
    return f"{{{'states: auto, ' if _points(names) >= FEWEST_TRIALS else ''}racing: true, lag: 8}}"


def _sampler(names: Collection[str]) -> str:
    """A grid where that is small, else so many trials that each of the names gets its share."""
    if _points(names) <= MOST_GRID_POINTS:
        return "sampler: {name: grid, seed: 0}    # or tpe, gp, cmaes, …: these want `trials: N`"
    trials = max(FEWEST_TRIALS, TRIALS_PER_NAME * len(names))
    return (
        f"sampler: {{name: tpe, seed: 0}}    # or gp, cmaes, nsga2, qmc, random\ntrials: {trials}"
    )


def _proposed(name: str) -> Dimension:
    """Where to search for what a proposed block names, as 'BLOCK.PARAMETER'."""
    return PROPOSED[name.rpartition(".")[2]]


def _block(block: Block) -> dict[str, Any]:
    layers: Any = block.layers[0] if len(block.layers) == 1 else block.layers
    return {"block": block.name, "layers": layers, "rule": block.rule, **block.values}


def _flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_flow(v) for v in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and read_yaml(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


_PLAIN = re.compile(r"[$\w./~-]+")
