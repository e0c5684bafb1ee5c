"""A trial is a pure function of what was prepared and of its task."""

import dataclasses
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from lrpsweep.attribution import LayerRule, canonical
from lrpsweep.composites import PRESETS, Block
from lrpsweep.errors import InputError
from lrpsweep.results import TrialResult
from lrpsweep.study import load_study
from lrpsweep.trial.candidates import published, tuned
from lrpsweep.trial.context import Context, Task, prepare
from lrpsweep.trial.literature import baselines, fitting_presets, literature_points
from lrpsweep.trial.trial import run_trial

POINT = Task(tuned({"gamma1": 0.1, "gamma2": 0.5}))


@pytest.fixture
def context(small_study):
    return prepare(load_study(small_study))


def numbers(result: TrialResult) -> dict:
    return {k: v for k, v in result.to_json().items() if k != "seconds"}


def test_the_same_task_gives_the_same_result_again_and_in_a_new_context(context, small_study):
    first = run_trial(context, POINT)
    run_trial(context, Task(tuned({"gamma1": 1.0, "gamma2": 1.0})))
    assert numbers(run_trial(context, POINT)) == numbers(first)
    assert numbers(run_trial(prepare(load_study(small_study)), POINT)) == numbers(first)


def test_scores_are_the_area_under_curves_that_begin_with_the_untouched_image(context):
    result = run_trial(context, POINT)
    images = context.split.search
    with torch.no_grad():
        logits = context.model.net(context.model.normalize(images.images)).numpy()
    untouched = logits[np.arange(len(images.labels)), images.labels].mean()
    assert result.curve[0] == pytest.approx(untouched, rel=1e-5)
    assert result.flipped[0] == 0
    assert result.flipped[-1] == 1
    steps = (result.curve[1:] + result.curve[:-1]) / 2
    assert result.value == pytest.approx(steps.mean(), rel=1e-9)
    assert result.scores.shape == (4,)


def test_most_relevant_first_falls_faster_than_least_relevant_first(context):
    morf = run_trial(context, POINT).value
    lerf = run_trial(context, dataclasses.replace(POINT, objectives=("auc_lerf",))).value
    srg = run_trial(context, dataclasses.replace(POINT, objectives=("srg",))).value
    assert morf < lerf
    assert srg == pytest.approx(lerf - morf, rel=1e-6)


def test_validation_images_are_others(context):
    assert not set(context.split.search.hashes) & set(context.split.validation.hashes)
    result = run_trial(context, dataclasses.replace(POINT, split="validation"))
    assert result.scores.shape == (3,)


def test_the_balance_of_blocks_is_that_of_the_whole(context):
    result = run_trial(context, POINT)
    assert list(result.blocks) == ["pixel", "early", "late", "default"]
    for part in ("bias", "stabilizer"):
        whole = result.balance[part]
        assert whole <= sum(block[part] for block in result.blocks.values()) * (1 + 1e-6)
    assert all(0 < block["hot_spot"] < 1 for block in result.blocks.values())
    assert result.unstable == ""
    context.batch = 3  # chunks of unequal size
    again = run_trial(context, POINT)
    for name, block in result.blocks.items():
        assert again.blocks[name] == pytest.approx(block, rel=1e-3, abs=1e-6)


@pytest.fixture
def unstable_context(small_study):
    """With α and β so large that what is left of them is rounding."""
    text = small_study.read_text().replace("gamma, gamma: $gamma1", "alpha_beta, alpha: $gamma1")
    small_study.write_text(text.replace("log: [0.1, 1.0], zero: true", "log: [1.0, 1000.0]"))
    return prepare(load_study(small_study))


def test_an_unstable_trial_says_in_which_layer_it_becomes_so(unstable_context):
    result = run_trial(unstable_context, Task(tuned({"gamma1": 1000.0, "gamma2": 0.5})))
    layer, _, reason = result.unstable.partition(": ")
    assert layer in ("features.2", "features.5", "features.7")  # those of the block
    assert re.fullmatch(r"relevance grows .* times there, in 4 of 4 images", reason)
    assert TrialResult.from_json(result.to_json()).unstable == result.unstable


def test_relevance_that_is_not_finite_fails_with_the_layer(unstable_context):
    with pytest.raises(FloatingPointError, match=r"infinite in 4 of 4 heatmaps.*; features\.\d:"):
        run_trial(unstable_context, Task(tuned({"gamma1": 1e38, "gamma2": 0.5})))


def test_nobody_looks_for_the_layer_of_a_stable_trial(context, monkeypatch):
    monkeypatch.setattr(Context, "instability", None)
    assert run_trial(context, POINT).unstable == ""


def test_every_published_composite_fits_the_embedded_network(context):
    same = {"cmp_alpha1", "cmp_alpha1_flat", "cmp_alpha2", "cmp_alpha2_flat"}
    assert set(fitting_presets(context)) == set(PRESETS) - same
    for name in PRESETS:
        assert np.isfinite(run_trial(context, Task(published(name))).value)


def test_a_published_composite_inside_the_space_is_found(small_study):
    text = small_study.read_text()
    inside = load_study(small_study, ["search.gamma1.log=[0.1, 1.0]"])
    assert literature_points(prepare(inside))["epsilon_gamma_box"] == {
        "gamma1": 0.25,
        "gamma2": 0.25,
    }
    small_study.write_text(text.replace("gamma2: {log: [0.25", "gamma2: {log: [0.3"))
    assert literature_points(prepare(load_study(small_study))) == {}


def test_published_composites_are_found_by_depth_and_by_decay(small_study):
    flat = [
        "search={n: {int: [0, 5]}, alpha: {choice: [1, 2]}}",
        "composite=[{block: flat, layers: depth ..$n, rule: flat}, {block: features, layers: Conv2d"
        ", rule: alpha_beta, alpha: $alpha}, {block: default, rule: zero}]",
    ]
    assert literature_points(prepare(load_study(small_study, flat))) == {
        "epsilon_plus": {"n": 0, "alpha": 1},
        "epsilon_plus_flat": {"n": 1, "alpha": 1},
        "epsilon_alpha2_beta1": {"n": 0, "alpha": 2},
        "epsilon_alpha2_beta1_flat": {"n": 1, "alpha": 2},
        "cmp_alpha1_flat_n": {"n": 3, "alpha": 1},
        "cmp_alpha2_flat_n": {"n": 3, "alpha": 2},
    }
    decaying = [
        "search={g: {linear: [0, 1], points: 3}, q: {linear: [0.5, 1], points: 3}}",
        "composite=[{block: pixel, layers: features.0, rule: z_box}, {block: features, layers: "
        "features.1..features.19, rule: gamma, gamma: $g, decay: $q}, {block: default, rule: zero}"
        "]",
    ]
    assert literature_points(prepare(load_study(small_study, decaying))) == {
        "decreasing_gamma_exponential": {"g": 0.5, "q": 0.8},
        "epsilon_gamma_box": {"g": 0.25, "q": 1.0},
    }


def test_a_study_may_name_its_baselines(context, small_study):
    assert baselines(context) == ("decreasing_gamma", "epsilon_gamma_box")
    named = "baselines=[cmp_alpha1, tutorial, epsilon_plus]"
    assert baselines(prepare(load_study(small_study, [named]))) == ("cmp_alpha1", "tutorial")
    every = baselines(prepare(load_study(small_study, ["baselines=null"])))
    assert every == tuple(fitting_presets(context))


def test_a_named_baseline_that_does_not_fit_is_refused(context):
    context.engine.bounds = None
    assert "tutorial" not in fitting_presets(context)
    with pytest.raises(
        InputError, match=r"baselines: 'decreasing_gamma' does not fit scenes: .*z_b"
    ):
        baselines(context)


def meaning(block):
    return canonical(LayerRule(block.rule, block.arguments))


def test_bounds_are_part_of_what_a_layer_gets():
    box = Block("a", ("0",), "z_box", {"stabilizer": 1e-6}, {}, ((-1.0,), (1.0,)))
    assert meaning(box) != meaning(dataclasses.replace(box, bounds=None))


@pytest.mark.parametrize(
    ("rule", "hyper", "options", "same"),
    [
        ("gamma", {"gamma": 0.0}, {"bias": "kept"}, "zero"),
        ("gamma", {"gamma": 0.0}, {"bias": "dropped"}, "gamma"),
        ("gamma", {"gamma": 0.0}, {"stabilize": "clip"}, "zero"),
        ("epsilon", {"epsilon": 1e-6}, {}, "zero"),
        ("epsilon", {"epsilon": 1e-6}, {"form": "unsigned"}, "epsilon"),
        ("epsilon", {"epsilon": 0.0}, {"form": "rms"}, "zero"),
        ("epsilon", {"epsilon": 0.0}, {"form": "rms_batch"}, "epsilon"),
        ("alpha_beta", {"alpha": 1.0}, {}, "z_plus"),
    ],
)
def test_rules_that_are_another_one_are_known(rule, hyper, options, same):
    block = Block("a", ("0",), rule, hyper | {"stabilizer": 1e-6}, options)
    assert meaning(block)[0] == same


@pytest.fixture
def thesis(small_study):
    changes = ["evaluation={protocol: thesis, patch: 16}", "data.split.search=5"]
    return prepare(load_study(small_study, changes))


def test_the_protocol_decides_states_and_area(thesis):
    result = run_trial(thesis, POINT)
    assert result.flipped.tolist() == [0, 1 / 16, 4 / 16, 9 / 16, 1, 1]
    steps = (result.curve[1:] + result.curve[:-1]) / 2
    assert result.value == pytest.approx(steps.sum(), rel=1e-9)


@pytest.mark.parametrize("perturbation", ["telea", "uniform"])
@pytest.mark.parametrize("objective", ["srg", "auc_random"])
def test_the_size_of_chunks_changes_no_score_of_protocol_thesis(thesis, perturbation, objective):
    task = dataclasses.replace(POINT, perturbation=perturbation, objectives=(objective,))
    whole = run_trial(thesis, task)
    thesis.batch = 2
    np.testing.assert_allclose(run_trial(thesis, task).scores, whole.scores, rtol=1e-5)


def test_protocol_thesis_is_refused_where_patches_do_not_fit(small_study):
    changes = ["evaluation={protocol: thesis, patch: 10}"]
    with pytest.raises(InputError, match=r"evaluation\.patch: 10 .*multiple"):
        prepare(load_study(small_study, changes))


def test_curves_that_know_no_heatmap_are_made_once(context):
    task = dataclasses.replace(POINT, objectives=("auc_random",))
    first = run_trial(context, task)
    unused = LittleMemory(context.model.net, 0, RuntimeError("scored again"))
    context.model = dataclasses.replace(context.model, net=unused)
    other = run_trial(
        context, dataclasses.replace(task, candidate=tuned({"gamma1": 1.0, "gamma2": 1.0}))
    )
    np.testing.assert_array_equal(other.scores, first.scores)
    np.testing.assert_array_equal(other.curve, first.curve)
    assert other.hot_spot != first.hot_spot
    for changed in ({"split": "validation"}, {"perturbation": "uniform"}):
        with pytest.raises(RuntimeError, match="scored again"):  # these are other curves
            run_trial(context, dataclasses.replace(task, **changed))


class LittleMemory(torch.nn.Module):
    """Runs out of memory above so many images: no GPU here can be made to."""

    def __init__(self, net: torch.nn.Module, most: int, error: Exception) -> None:
        super().__init__()
        self.net, self.most, self.error = net, most, error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most:
            raise self.error
        return self.net(x)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_when_memory_runs_out_the_batch_is_halved_until_it_fits(context, error):
    expected = run_trial(context, POINT)
    small = LittleMemory(context.model.net, 3, error)
    context.model = dataclasses.replace(context.model, net=small)
    found = run_trial(context, POINT)
    assert context.batch == 2
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4)
    context.model = dataclasses.replace(context.model, net=LittleMemory(small.net, 0, error))
    with pytest.raises(type(error)):
        run_trial(context, POINT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("evaluation.patch=65", r"evaluation\.patch: 65 does not fit images of 64 × 64"),
        ("data.target=10", r"data\.target: the model has no class 10; expected .* 0 to 9"),
        ("data.target=cow", r"data\.target: the model has no class 'cow'"),
        ("composite.0.layers=features.99", r"composite\.pixel\.layers: .*no layer 'features\.99'"),
        ("composite.1.layers=features.1", r"composite\.early\.layers: .*no layer with weights"),
        (
            "composite.1.layers=features.0..features.9",
            r"composite\.early\.layers: .*'pixel' already",
        ),
        ("composite.1.rule=z_box", r"gamma"),
        ("evaluation={patch: 16, schedule: linear, steps: 17}", r"evaluation\.steps: 17"),
    ],
)
def test_a_wrong_study_is_refused_before_any_trial(small_study, change, message):
    with pytest.raises(InputError, match=message) as caught:
        prepare(load_study(small_study, [change]))
    assert str(small_study) in str(caught.value)


@pytest.mark.parametrize(("states", "fits"), [("[0, 4]", True), ("[0, 5]", False)])
def test_a_state_beyond_the_schedule_is_refused(small_study, states, fits):
    changes = ["version=2", "objective=srg", f"economy={{states: {states}}}"]
    if fits:
        assert prepare(load_study(small_study, changes))
        return
    text = (
        r"economy\.states: found 5, but the schedule has the states 0 to 4 here; expected some of"
    )
    with pytest.raises(InputError, match=text):
        prepare(load_study(small_study, changes))


def test_every_choice_of_a_rule_is_checked(small_study):
    text = small_study.read_text().replace("rule: gamma, gamma: $gamma2", "rule: $rule")
    text = text.replace("gamma2: {log: [0.25, 1.0], points: 2}", "rule: {choice: [zero, z_box]}")
    small_study.write_text(text)
    with pytest.raises(InputError, match=r"composite\.late\.rule: z_box on"):
        prepare(load_study(small_study))


def test_a_layer_left_over_is_named(small_study):
    text = small_study.read_text().replace("  - {block: default, rule: zero}\n", "")
    small_study.write_text(text)
    with pytest.raises(InputError, match=r"no block has 'classifier\.0'"):
        prepare(load_study(small_study))


def test_the_core_knows_neither_ray_mlflow_nor_optuna():
    code = (
        "import sys, lrpsweep.trial.trial, lrpsweep.commands.explain\n"
        "import lrpsweep.trial.literature, lrpsweep.trial.illustrate\n"
        "print(sorted({'ray', 'mlflow', 'optuna'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
