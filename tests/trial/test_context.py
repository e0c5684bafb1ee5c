"""Preparing a study: what is checked before the first trial, and what travels to the workers."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from lrpsweep.attribution import register
from lrpsweep.attribution.lrp.operations import OPERATIONS
from lrpsweep.commands.describe import describe_study
from lrpsweep.errors import InputError
from lrpsweep.study import parse_study
from lrpsweep.trial.candidates import tuned
from lrpsweep.trial.context import Given, Task, prepare
from lrpsweep.trial.trial import run_trial

STUDY = """\
version: 1
name: handed-over
model:
  python: mine
  classes: [a, b, c]
  preprocess: {resize: 16, crop: 16, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}
data: {python: pixels, split: {search: 4, validation: 2}}
search: {g: {log: [0.1, 1.0], points: 2}}
composite:
  - {block: body, layers: "0..2", rule: gamma, gamma: $g}
  - {block: default, rule: zero}
evaluation: {patch: 4}
sampler: {name: grid}
"""
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


def study(tmp_path, *overrides):
    return parse_study(STUDY, tmp_path / "study.yaml", overrides)


def network(*head):
    torch.manual_seed(0)
    head = head or (nn.Flatten(), nn.Linear(4 * 16 * 16, 3))
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), *head)


def given(net=None, images=(IMAGES, LABELS)):
    return Given(model=net or network(), images=images)


def test_what_travels_to_the_workers_gives_the_same_trial(tmp_path):
    context = prepare(study(tmp_path), given=given())
    there = pickle.loads(pickle.dumps(context.pack())).unpack("cpu")
    task = Task(tuned({"g": 0.5}))
    assert np.array_equal(run_trial(there, task).scores, run_trial(context, task).scores)
    assert there.spec.path.is_absolute()


class Halved(nn.Module):
    def forward(self, x):
        return torch.softmax(x, 1) / 2


def test_what_was_registered_travels_to_the_workers(tmp_path):
    with register(Halved, "pass"):
        net = network(Halved(), nn.Flatten(), nn.Linear(4 * 16 * 16, 3))
        packed = pickle.dumps(prepare(study(tmp_path), given=given(net)).pack())
    there = pickle.loads(packed).unpack("cpu")  # as in a new process
    try:
        assert np.isfinite(run_trial(there, Task(tuned({"g": 0.5}))).scores).all()
    finally:
        OPERATIONS.remove("Halved")


def test_the_callers_network_is_left_alone(tmp_path):
    net = network().train()
    before = [p.clone() for p in net.parameters()]
    run_trial(prepare(study(tmp_path), given=given(net)), Task(tuned({"g": 0.5})))
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert all(map(torch.equal, before, net.parameters()))


def test_misclassified_images_are_left_out(tmp_path):
    kept = prepare(study(tmp_path), given=given())
    net = kept.model.net
    predicted = net(kept.model.normalize(IMAGES)).argmax(1).numpy()
    labels = np.where(np.arange(12) % 2, predicted, (predicted + 1) % 3)
    chosen = prepare(
        study(tmp_path, "data.misclassified=leave_out"), given=given(images=(IMAGES, labels))
    )
    for split in ("search", "validation"):
        inputs = chosen.inputs(split)
        found = net(kept.model.normalize(inputs.images)).argmax(1).numpy()
        assert np.array_equal(found, inputs.labels)
    with pytest.raises(InputError, match="expected"):
        prepare(
            study(tmp_path, "data.misclassified=leave_out", "data.split.search=6"),
            given=given(images=(IMAGES, labels)),
        )


class Row(nn.Module):
    def forward(self, x):
        return x.reshape(1, -1)


def broken():
    linear = nn.Linear(1024, 3)
    nn.init.constant_(linear.bias, float("nan"))
    return linear


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x):
        return self.net(x), self.net(x)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            network(nn.Identity()),
            r"output of mine .* shape \(2, 4, 16, 16\); expected class scores",
        ),
        (network(nn.Flatten(), nn.Linear(9, 3)), "mine fails on an image of 16 × 16 pixels"),
        (network(nn.Flatten(), nn.Linear(1024, 5)), "model.classes: 3 names, but mine has 5 outp"),
        (
            network(nn.Flatten(), nn.Linear(1024, 3), Row()),
            r"shape \(1, 6\); expected class scores",
        ),
        (network(nn.Flatten(), broken()), "scores of mine .* are NaN or infinite"),
        (Twice(), "output of mine .* type tuple; expected class scores"),
    ],
)
def test_networks_that_are_no_classifiers_are_refused(tmp_path, net, message):
    with pytest.raises(InputError, match=message):
        prepare(study(tmp_path), given=given(net))


def test_what_was_left_out_is_told_and_doubted(tmp_path):
    """Those that are left are all right: only what was looked at shows wrong labels."""
    kept = prepare(study(tmp_path), given=given())
    predicted = kept.model.net(kept.model.normalize(IMAGES)).argmax(1).numpy()
    labels = np.where(np.arange(12) % 3, (predicted + 1) % 3, predicted)
    overrides = ("data.misclassified=leave_out", "data.split={search: 3, validation: 0}")
    context = prepare(study(tmp_path, *overrides), given=given(images=(IMAGES, labels)))
    described = describe_study(context)
    looked, right = context.looked
    assert described["misclassified and left out"] == f"{(~right).sum()} of {len(looked)} images"
    assert described["warnings"][0].startswith("only ")
    assert context.inputs("search").labels.shape == (3,)


def test_labels_beyond_the_outputs_of_a_network_without_names_are_refused(tmp_path):
    labels = np.where(np.arange(12) == 5, 7, LABELS)
    for more in ("data.target=prediction", "data.misclassified=leave_out"):
        with pytest.raises(InputError, match="class 7; expected a class index of the model, 0 to"):
            prepare(
                study(tmp_path, "model.classes=null", more), given=given(images=(IMAGES, labels))
            )


def test_protocol_thesis_refuses_patches_that_do_not_divide_the_images(tmp_path):
    with pytest.raises(InputError, match=r"evaluation\.patch: 5 × 5 pixels do not divide"):
        prepare(study(tmp_path, "evaluation.patch=5", "evaluation.protocol=thesis"), given=given())


CASCADE = "composite=[{block: low, layers: depth ..$l, rule: RULE}, {block: default, rule: zero}]"


def test_depths_that_the_network_does_not_have_are_refused(tmp_path):
    def prepared(deepest, rule):
        return prepare(
            study(
                tmp_path, f"search={{l: {{int: [0, {deepest}]}}}}", CASCADE.replace("RULE", rule)
            ),
            given=given(),
        )

    assert len(prepared(2, "flat").composite(tuned({"l": 0})).blocks) == 1
    with pytest.raises(InputError, match=r"search\.l: found 3, but mine is 2 layers .* most 2"):
        prepared(3, "flat")
    with pytest.raises(InputError, match=r"composite\.low\.rule: z_box on '3'"):
        prepared(2, "z_box")  # at depth 1 it is allowed
    preset = ("composite={preset: cmp_alpha1_flat_n, n: $g}", "search.g={choice: [0, 3]}")
    with pytest.raises(InputError, match=r"search\.g: found 3, but mine is 2 layers"):
        prepare(study(tmp_path, *preset), given=given())


def test_rules_are_tried_at_every_depth_before_the_first_trial(tmp_path):
    both = "search={l: {int: [1, 2]}, r: {choice: [flat, z_box]}}"
    with pytest.raises(InputError, match=r"composite\.low\.rule: z_box on '3'"):
        prepare(study(tmp_path, both, CASCADE.replace("RULE", "$r")), given=given())
