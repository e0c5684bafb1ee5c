"""What is registered from outside goes from validate to the report, in other processes too."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lrpsweep.attribution.lrp.balance import Arriving
from lrpsweep.attribution.lrp.explanation import Explanation
from lrpsweep.attribution.lrp.operations import OPERATIONS, Operation, Propagation
from lrpsweep.attribution.lrp.rules import RULES, Parameter, Rule, gamma
from lrpsweep.attribution.methods import METHODS, Method
from lrpsweep.commands.describe import describe_study
from lrpsweep.commands.explain import load_composite
from lrpsweep.commands.export import export_composite
from lrpsweep.commands.picture import explain_image
from lrpsweep.commands.report import write_study_report
from lrpsweep.commands.run import run
from lrpsweep.commands.status import study_status
from lrpsweep.errors import InputError
from lrpsweep.evaluation import (
    MEASURES,
    ORDERS,
    PERTURBATIONS,
    PROTOCOLS,
    Evidence,
    Measure,
    Needs,
    Order,
    Perturbation,
)
from lrpsweep.registry import registered_by_hand
from lrpsweep.results import Candidate, StudyResults
from lrpsweep.study import StudySpec, load_study, parse_study
from lrpsweep.sweep.samplers import SAMPLERS, Sampler
from lrpsweep.trial.candidates import tuned
from lrpsweep.trial.context import Chunk, Given, Packed, Task, prepare
from lrpsweep.trial.trial import run_trial

POINT = {"gamma1": 0.1, "gamma2": 0.5}
CHUNK = Chunk("search", 0, 4)


def inside(found: Evidence) -> np.ndarray:
    """Share of the positive relevance that lies on the object."""
    assert found.heatmaps is not None
    assert found.masks is not None
    positive = found.heatmaps.clip(0)
    return np.asarray((positive * found.masks).sum((1, 2)) / positive.sum((1, 2)))


def unmoved(found: Evidence) -> np.ndarray:
    """How much the heatmaps change when the images get a little brighter."""
    assert found.explain is not None
    assert found.images is not None
    assert found.heatmaps is not None
    brighter = found.explain(np.minimum(found.images.astype(int) + 3, 255).astype(np.uint8))
    return np.asarray(np.abs(brighter - found.heatmaps).sum((1, 2)))


def rows(relevance: np.ndarray, seed: int, first: int) -> np.ndarray:
    return np.tile(np.arange(relevance.shape[1]), (len(relevance), 1))


def negative(
    image: np.ndarray, mask: np.ndarray, fill: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    return np.where(mask[..., None], 255 - image, image)


def corners(space: Any, seed: int, directions: Any) -> Any:
    points = [{"gamma1": x, "gamma2": y} for x in (0.1, 1.0) for y in (0.3, 0.9)]
    return lambda trials: points


def the_input(
    engine: Any, images: torch.Tensor, targets: torch.Tensor, settings: Mapping[str, Any], key: Any
) -> Explanation:
    nothing = torch.zeros(len(images))
    return Explanation(images.clone(), torch.ones(len(images)), nothing, nothing, nothing, {})


def area_of_rows(found: Evidence) -> np.ndarray:
    return found.area_of("rows")


INSIDE = Measure(
    "inside", "relevance inside", "", "maximize", Needs(heatmaps=True, masks=True), inside
)
UNMOVED = Measure("unmoved", "change", "", "minimize", Needs(method=True, heatmaps=True), unmoved)
BY_ROWS = Measure("by_rows", "AUC (rows)", "score", "minimize", Needs(("rows",)), area_of_rows)
ENTRIES = {
    "measure": (INSIDE, UNMOVED, BY_ROWS),
    "order": (Order("rows", rows, blind=True),),
    "perturbation": (Perturbation("negative", negative, "negative"),),
    "protocol": (replace(PROTOCOLS["default"], name="toy"),),
    "sampler": (Sampler("corners", corners, exhaustive=True),),
    "method": (Method("the_input", "the image itself", the_input),),
}
TABLES = (MEASURES, ORDERS, PERTURBATIONS, PROTOCOLS, SAMPLERS, METHODS)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for table in TABLES:
            for entry in ENTRIES[table.kind]:
                stack.enter_context(table.register(entry))
        yield


def carried_through(spec: StudySpec, runs: Path) -> tuple[StudyResults, dict[str, Any], str]:
    """From validate to the report: what the run, the status and the page say."""
    described = describe_study(prepare(spec))
    assert described["trials"] > 0
    results = run(spec, runs, executor="local")
    status = study_status(spec, runs)
    page = write_study_report(spec, runs, runs / "page.html").read_text(encoding="utf-8")
    return results, status, page


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ("objective=inside", "relevance inside"),
        ("objective=unmoved", "change"),
        ("objective=by_rows", "AUC (rows)"),
        ("objective=hot_spot", "hot-spot index"),
        ("evaluation.perturbation=negative", "AUC (MoRF)"),
        ("evaluation.protocol=toy", "AUC (MoRF)"),
        ("sampler.name=corners", "AUC (MoRF)"),
        ("baselines=[decreasing_gamma, the_input]", "the_input"),
    ],
)
def test_a_registered_entry_goes_from_validate_to_the_report(
    small_study: Path, tmp_path: Path, change: str, title: str
) -> None:
    results, status, page = carried_through(load_study(small_study, [change]), tmp_path / "runs")
    assert len(results.complete) == results.planned == status["complete"]
    assert title in page
    assert results.recommendation is not None
    best = results.ranked()[0].result
    assert best is not None
    assert best.scores.shape == (4,)
    assert best.objectives == (results.objective,)


def sharpened(record: Any, arriving: Any, balance: Any, *, sharpness: float) -> torch.Tensor:
    """LRP-γ by another name."""
    return gamma(record, arriving, balance, gamma=sharpness, stabilizer=1e-6)


SHARPENED = Rule(
    "sharpened", sharpened, "LRP-♯", (Parameter("sharpness", high=5.0),), keeps_support=True
)


def test_a_registered_rule_goes_from_validate_to_an_explained_image(
    small_study: Path, tmp_path: Path
) -> None:
    text = small_study.read_text(encoding="utf-8")
    as_gamma = carried_through(load_study(small_study), tmp_path / "before")[0]
    small_study.write_text(
        text.replace("rule: gamma, gamma: $gamma2", "rule: sharpened, sharpness: $gamma2"),
        encoding="utf-8",
    )
    with pytest.raises(InputError, match=r"composite.late.sharpness: unknown key"):
        load_study(small_study)
    with RULES.register(SHARPENED):
        with pytest.raises(InputError, match="expected a number from 0 to 5"):
            load_study(small_study, ["search.gamma2.log=[0.25, 9.0]"])
        spec = load_study(small_study)
        results, _, page = carried_through(spec, tmp_path / "runs")
        scores = {tuple(t.values.values()): t.result for t in as_gamma.complete}
        assert len(results.complete) == 6
        for trial in results.complete:
            before = scores[tuple(trial.values.values())]
            assert trial.result is not None
            assert before is not None
            np.testing.assert_array_equal(trial.result.scores, before.scores)
        assert "sharpened" in page
        exported = tmp_path / "composite.json"
        export_composite(spec, tmp_path / "runs", exported)
        blocks = json.loads(exported.read_text(encoding="utf-8"))["blocks"]
        late = next(block for block in blocks if block["block"] == "late")
        assert late["hyperparameters"] == {"sharpness": results.recommendation.values["gamma2"]}  # type: ignore[union-attr]
        with pytest.raises(InputError, match=r"sharpened on .*; zennit has no rule for that"):
            export_composite(spec, tmp_path / "runs", tmp_path / "c.py", for_zennit=True)
        photo, heatmap = tmp_path / "photo.png", tmp_path / "heatmap.npy"
        Image.fromarray(prepare(spec).split.search.images[0]).save(photo)
        explain_image(photo, exported, heatmap)
        assert np.abs(np.load(heatmap)).max() > 0
    with pytest.raises(InputError, match="sharpened"):
        explain_image(photo, exported, heatmap)


class Halving(torch.nn.Module):
    """A kind of layer that lrpsweep does not know."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.erf(x) + x / 2


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        *(torch.nn.Conv2d(3, 4, 5, stride=4), Halving(), torch.nn.Flatten()),
        torch.nn.Linear(4 * 15 * 15, 10),
    ).eval()


def all_to_the_input(propagation: Propagation) -> list[Arriving]:
    return [Arriving(propagation.relevance)]


HALVING = Operation("halving", (Halving,), backward=all_to_the_input, title="as it is")
OWN_NETWORK = """\
version: 1
name: own
model: {python: own, preprocess: {crop: 64, mean: [0, 0, 0], std: [1, 1, 1]}}
data: {python: noise, target: prediction, split: {search: 3, validation: 2}}
search: {g: {log: [0.25, 1.0], points: 2}}
composite:
  - {block: pixel, layers: '0', rule: z_box}
  - {block: late, layers: '3', rule: gamma, gamma: $g}
evaluation: {patch: 16, perturbation: mean}
baselines: [epsilon_gamma_box]
sampler: {name: grid}
"""


def test_a_registered_operation_goes_from_validate_to_an_explained_image(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    given = Given(model=network(), images=(pixels, np.zeros(5, np.int64)))
    spec, runs = parse_study(OWN_NETWORK, tmp_path / "own.yaml"), tmp_path / "runs"
    with pytest.raises(InputError, match="'1' of type Halving"):
        prepare(spec, given=given)
    with OPERATIONS.register(HALVING):
        assert describe_study(prepare(spec, given=given))["trials"] > 0
        results = run(spec, runs, model=given.model, images=given.images, executor="local")
        assert study_status(spec, runs)["complete"] == len(results.complete) == 2
        assert write_study_report(spec, runs, tmp_path / "page.html").is_file()
        export_composite(spec, runs, tmp_path / "composite.json", given=given, unvalidated=True)
        explainer = load_composite(tmp_path / "composite.json", network())
        found = explainer.explain(explainer.model.normalize(pixels))
        assert found.shape == (5, 64, 64)
        assert float(found.abs().max()) > 0


def test_a_registered_measure_gives_what_its_function_says(small_study: Path) -> None:
    context = prepare(load_study(small_study))
    result = run_trial(context, Task(tuned(POINT), objectives=("inside",)))
    heatmaps = context.explain(context.bind(tuned(POINT)), CHUNK).heatmaps.cpu().numpy()
    evidence = Evidence(heatmaps=heatmaps, masks=context.split.search.masks)
    np.testing.assert_array_equal(result.scores, inside(evidence))
    assert result.curve.size == 0


def test_a_measure_that_explains_other_images_gets_them_explained(small_study: Path) -> None:
    context = prepare(load_study(small_study))
    images = context.split.search.images
    brighter = np.minimum(images.astype(int) + 3, 255).astype(np.uint8)
    bound = context.bind(tuned(POINT))
    expected = [context.explain_others(bound, CHUNK, pixels) for pixels in (brighter, images)]
    gap = np.abs(expected[0] - expected[1]).sum((1, 2))
    result = run_trial(context, Task(tuned(POINT), objectives=("unmoved",)))
    np.testing.assert_allclose(result.scores, gap, rtol=1e-4)
    assert (gap > 0).all()


def test_curves_serve_every_measure_that_needs_no_more(small_study: Path) -> None:
    context = prepare(load_study(small_study))
    result = run_trial(context, Task(tuned(POINT), objectives=("srg",)))
    assert result.measures.keys() == {"srg", "auc_morf", "auc_lerf"}
    for name in ("auc_morf", "auc_lerf"):
        alone = run_trial(context, Task(tuned(POINT), objectives=(name,)))
        np.testing.assert_array_equal(alone.scores, result.measures[name])


def test_several_objectives_share_what_they_need(small_study: Path) -> None:
    context = prepare(load_study(small_study))
    result = run_trial(context, Task(tuned(POINT), objectives=("inside", "srg")))
    assert result.objectives == ("inside", "srg")
    np.testing.assert_array_equal(result.scores, result.measures["inside"])
    assert {"inside", "srg", "auc_morf", "auc_lerf"} == result.measures.keys()


def test_another_method_is_a_candidate(small_study: Path) -> None:
    context = prepare(load_study(small_study))
    found = context.explain(context.bind(Candidate("the_input")), CHUNK)
    expected = context.model.normalize(context.split.search.images)
    assert torch.equal(found.relevance, expected)
    assert run_trial(context, Task(Candidate("the_input"))).blocks == {}


def test_an_unknown_method_is_refused_by_name(small_study: Path) -> None:
    context = prepare(load_study(small_study))
    with pytest.raises(InputError, match=r"'lpr'; expected one of lrp, .*Did you mean 'lrp'"):
        run_trial(context, Task(Candidate("lpr")))


def test_a_worker_that_knows_none_of_it_is_told(small_study: Path) -> None:
    context = prepare(load_study(small_study))
    expected = run_trial(context, Task(tuned(POINT), objectives=("by_rows",)))
    packed: Packed = pickle.loads(pickle.dumps(context.pack()))
    before = {table.kind: [entry.name for entry in table.by_hand()] for table in TABLES}
    assert before == {kind: [e.name for e in added] for kind, added in ENTRIES.items()}
    _forget_all(before)
    assert registered_by_hand() == {}
    there = packed.unpack("cpu")
    assert {kind: [e.name for e in added] for kind, added in registered_by_hand().items()} == before
    found = run_trial(there, Task(tuned(POINT), objectives=("by_rows",)))
    np.testing.assert_array_equal(found.scores, expected.scores)


def _forget_all(names: Mapping[str, Sequence[str]]) -> None:
    for table in TABLES:
        for name in names[table.kind]:
            table.remove(name)


def test_a_measure_of_masks_is_refused_where_nobody_knows_them(
    small_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lrpsweep.trial import context

    load = context.load_inputs

    def without_masks(*args: Any, **options: Any) -> Any:
        split = load(*args, **options)
        return replace(split, validation=replace(split.validation, masks=None))

    monkeypatch.setattr(context, "load_inputs", without_masks)
    spec = load_study(small_study, ["objective=inside"])
    with pytest.raises(InputError, match=r"objective: 'inside' needs the object's pixels"):
        prepare(spec)


def test_scores_of_another_shape_are_refused(small_study: Path) -> None:
    context = prepare(load_study(small_study))
    wrong = replace(INSIDE, name="wrong", score=lambda found: np.zeros(2))
    with (
        MEASURES.register(wrong),
        pytest.raises(InputError, match=r"measure 'wrong': found .*\(2,\).*expected \(4,\)"),
    ):
        run_trial(context, Task(tuned(POINT), objectives=("wrong",)))
