"""The exported composite: what it says, what it refuses, and that it gives the sweep's heatmaps."""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import lrpsweep
from lrpsweep.commands.composite_json import composite_document, write_composite
from lrpsweep.commands.explain import load_composite
from lrpsweep.commands.picture import explain_image
from lrpsweep.composites.file import composite_of, read_composite
from lrpsweep.errors import InputError
from lrpsweep.results import StudyResults, TrialRecord, contender
from lrpsweep.study import ModelSpec, load_study
from lrpsweep.trial.candidates import tuned
from lrpsweep.trial.context import Chunk, Task, prepare
from lrpsweep.trial.trial import run_trial

VALUES = {"gamma1": 0.0, "gamma2": math.inf}


@pytest.fixture
def context(small_study):
    text = small_study.read_text()
    small_study.write_text(
        text.replace("gamma2: {log: [0.25, 1.0], points: 2}", "gamma2: {choice: [inf, 0.5]}")
    )
    return prepare(load_study(small_study))


@pytest.fixture
def document(context):
    record = TrialRecord(3, "complete", VALUES, result=run_trial(context, Task(tuned(VALUES))))
    results = StudyResults(
        "small", ("auc_morf",), ("minimize",), (record,), 1, (), context.spec.text, "0" * 64
    )
    return composite_document(context, results, contender(record))


@pytest.fixture
def path(document, tmp_path):
    target = tmp_path / "composite.json"
    write_composite(document, target)
    return target


def test_an_unvalidated_composite_says_so(document):
    assert document["result"]["validated"] is False
    assert "validation" not in document["result"]
    assert document["provenance"]["values"] == {"gamma1": 0.0, "gamma2": "inf"}


def test_the_file_gives_the_composite_of_the_trial(context, path):
    assert composite_of(read_composite(path)) == context.composite(tuned(VALUES))


def test_bounds_and_decay_of_a_study_are_in_the_file(small_study):
    pixel = "composite.0={block: pixel, layers: features.0, rule: z_box, low: -3, high: [4]}"
    context = prepare(load_study(small_study, [pixel, "composite.1.decay=0.5"]))
    values = {"gamma1": 0.8, "gamma2": 0.5}
    candidate = tuned(values)
    record = TrialRecord(3, "complete", values, result=run_trial(context, Task(candidate)))
    results = StudyResults("s", ("auc_morf",), ("minimize",), (record,), 1, (), "", "0" * 64)
    document = json.loads(json.dumps(composite_document(context, results, contender(record))))
    assert document["blocks"][0]["bounds"] == {"low": [-3.0], "high": [4.0]}
    early = [b for b in document["blocks"] if b["block"].startswith("early")]
    assert [b["block"] for b in early] == ["early.1", "early.2", "early.3"]
    assert [b["hyperparameters"]["gamma"] for b in early] == [0.8, 0.4, 0.2]
    assert composite_of(document) == context.composite(candidate)


def test_the_loaded_composite_gives_the_heatmaps_of_the_sweep(context, path):
    expected = context.explain(context.bind(tuned(VALUES)), Chunk("search", 0, 4)).heatmaps
    loaded = lrpsweep.load_composite(path)
    images = loaded.model.normalize(context.split.search.images)
    found = loaded.explain(images, torch.as_tensor(context.targets["search"]))
    assert found.shape == (4, 64, 64)
    assert torch.equal(found, expected)


def test_predicted_classes_are_explained_when_none_are_given(context, path):
    tuned = load_composite(path)
    images = tuned.model.normalize(context.split.search.images)
    assert torch.equal(tuned.explain(images), tuned.explain(images, tuned.predict(images)))
    with pytest.raises(InputError, match="no class 10; expected 0 to 9"):
        tuned.explain(images[:1], torch.tensor([10]))


def test_the_users_own_model_is_taken_and_left_as_it_is(context, path):
    net = copy.deepcopy(context.model.net).train().requires_grad_(True)
    tuned = load_composite(path, net)
    assert all(module.training for module in net.modules())
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert not any(module.training for module in tuned.model.net.modules())
    images = tuned.model.normalize(context.split.search.images)
    assert torch.equal(tuned.explain(images), load_composite(path).explain(images))


def test_other_weights_are_refused_unless_allowed(context, path):
    net = copy.deepcopy(context.model.net)
    with torch.no_grad():
        next(iter(net.parameters())).add_(1e-3)
    with pytest.raises(InputError, match=r"model\.fingerprint: the composite was tuned on scenes"):
        load_composite(path, net)
    assert load_composite(path, net, other_weights=True).composite.blocks


def test_another_architecture_is_refused_with_the_names_of_layers(path):
    net = torchvision.models.alexnet(weights=None).eval()
    with pytest.raises(InputError, match=r"alexnet|AlexNet") as caught:
        load_composite(path, net)
    assert "has no layer 'classifier.0'" in str(caught.value)
    assert "Did you mean 'classifier." in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema_version=2), "schema_version: found 2"),
        (lambda d: d.pop("blocks"), "blocks: missing; expected a value"),
        (lambda d: d.update(code="import os"), "code: unknown key"),
        (
            lambda d: d["blocks"][0].update(rule="eval"),
            r"blocks\.0\.rule: found 'eval'; expected one of zero, ",
        ),
        (
            lambda d: d["blocks"][1]["hyperparameters"].update(gamma=-1),
            r"blocks\.1\.hyperparameters\.gamma: found -1; expected a number of at least 0, or inf",
        ),
        (lambda d: d["model"].update(fingerprint="x"), r"model\.fingerprint"),
        (
            lambda d: d["model"].update(source={"factory": "os"}),
            r"model\.source\.factory: found 'os'; expected",
        ),
        (lambda d: d["model"].update(source={"factory": "a:b\n"}), r"model\.source\.factory"),
        (
            lambda d: d["model"].update(source={"python": 3}),
            r"model\.source\.python: found 3; expected",
        ),
        (lambda d: d["model"]["preprocess"].update(crop=10**6), r"model\.preprocess\.crop"),
        (
            lambda d: d["model"].update(pixel_low=[0, math.nan, 0]),
            r"model\.pixel_low\.1: found nan; expected a finite number",
        ),
        (lambda d: d["evaluation"].update(patch=math.inf), r"evaluation\.patch: found inf"),
        (lambda d: d["provenance"]["values"].update(gamma1=10**400), r"provenance\.values\.gamma1"),
        (
            lambda d: d["blocks"][1]["hyperparameters"].pop("gamma"),
            r"blocks\.1\.hyperparameters: found stabilizer; .* gamma takes gamma, stabilizer",
        ),
        (
            lambda d: d["blocks"][0]["hyperparameters"].update(alpha=2),
            r"blocks\.0\.hyperparameters: found alpha, stabilizer; .* z_box takes stabilizer",
        ),
        (
            lambda d: d.update(parity={"against": "zennit 0.5.1"}),
            "parity: found .*; expected images and ",
        ),
        (
            lambda d: d["blocks"][0].update(options={"bias": "kept"}),
            r"blocks\.0\.options: found bias; the rule z_box takes pooling, stabilize",
        ),
        (
            lambda d: d["blocks"][0].update(options={"stabilize": "none"}),
            r"blocks\.0\.options\.stabilize: found 'none'; expected one of signed, ",
        ),
        (
            lambda d: d["blocks"][1].update(bounds={"low": [-1], "high": [1]}),
            r"blocks\.1\.bounds: found bounds; the rule gamma takes none",
        ),
        (
            lambda d: d["blocks"][0].update(bounds={"low": [-1, 1], "high": [1, 1]}),
            r"blocks\.0\.bounds: found low \[-1, 1\].* each low one below its high one",
        ),
        (
            lambda d: d["blocks"][0].update(bounds={"low": [-1]}),
            r"blocks\.0\.bounds\.high: missing; expected a value",
        ),
        (
            lambda d: d["blocks"][2]["layers"].append("features.0"),
            r"blocks\.2\.layers: 'features\.0' is in block 'pixel' already",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_field(document, tmp_path, change, message):
    change(document)
    target = tmp_path / "wrong.json"
    target.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message) as caught:
        read_composite(target)
    assert str(target) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\x00", "[" * 200_000])
def test_what_is_no_composite_is_refused(tmp_path, text):
    target = tmp_path / "wrong.json"
    target.write_text(text)
    with pytest.raises(InputError, match=r"wrong\.json"):
        read_composite(target)
    with pytest.raises(InputError, match="cannot be read"):
        read_composite(tmp_path / "none.json")


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_a_deeply_nested_file_is_refused(document, tmp_path, depth):
    document["evaluation"]["deep"] = "HERE"
    target = tmp_path / "deep.json"
    target.write_text(json.dumps(document).replace('"HERE"', "[" * depth + "]" * depth))
    with pytest.raises(InputError, match=r"deep\.json: nested too deeply"):
        read_composite(target)


def test_a_tuned_weights_file_is_never_looked_for(document, tmp_path):
    document["model"]["source"] = {"torchvision": "vgg11", "weights": "mine.safetensors"}
    target = tmp_path / "composite.json"
    write_composite(document, target)
    with pytest.raises(InputError, match=r"expected --weights PATH"):
        load_composite(target)


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"embedded": "scenes"}, {"embedded": "scenes"}),
        ({"python": "mine"}, {"python": "mine"}),
        ({"factory": "nets.small:build"}, {"factory": "nets.small:build", "weights": None}),
        (
            {"factory": "nets:build", "weights": "${HOME}/secret/tuned.pt"},
            {"factory": "nets:build", "weights": "tuned.pt"},
        ),
        (
            {"torchvision": "vgg11", "weights": "../mine.safetensors"},
            {"torchvision": "vgg11", "weights": "mine.safetensors"},
        ),
    ],
)
def test_the_file_says_where_its_model_came_from_but_no_folder(context, fields, source, tmp_path):
    spec = context.spec.model_copy(update={"model": ModelSpec(**fields)})
    context = dataclasses.replace(context, spec=spec)
    record = TrialRecord(3, "complete", VALUES, result=run_trial(context, Task(tuned(VALUES))))
    results = StudyResults(
        "small", ("auc_morf",), ("minimize",), (record,), 1, (), spec.text, "0" * 64
    )
    write_composite(composite_document(context, results, contender(record)), tmp_path / "some.json")
    assert read_composite(tmp_path / "some.json")["model"]["source"] == source


def test_an_image_file_is_explained_as_picture_and_as_numbers(context, path, tmp_path):
    image = tmp_path / "scene.png"
    Image.fromarray(context.split.search.images[0]).save(image)
    said = explain_image(image, path, tmp_path / "heatmap.npy", target="3")
    assert "class 3" in said
    numbers = np.load(tmp_path / "heatmap.npy")
    tuned = load_composite(path)
    expected = tuned.explain(tuned.read([image]), torch.tensor([3]))[0]
    np.testing.assert_array_equal(numbers, expected.numpy())
    explain_image(image, path, tmp_path / "heatmap.png")
    with Image.open(tmp_path / "heatmap.png") as picture:
        assert picture.size[0] > 300


def test_export_is_the_same_bytes_again(context, path, tmp_path):
    again = tmp_path / "again.json"
    write_composite(read_composite(path), again)
    assert again.read_bytes() == path.read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_a_recommendation_is_written_with_its_intervals(context, document):
    from fabricated import fabricate_study

    study = fabricate_study()
    found = study.recommendation
    record = next(t for t in study.complete if t.number == found.number)
    record = dataclasses.replace(record, values=VALUES)
    written = composite_document(context, study, contender(record))["result"]["validation"]
    assert written["verdict"] == found.verdict
    assert [b["baseline"] for b in written["baselines"]] == [c.baseline for c in found.comparisons]
    assert written["interval"] == [found.low, found.high]


def test_baselines_that_were_not_scored_on_all_images_say_so(context, document, tmp_path):
    """Files of versions that scored all of them on all do not say it, and load."""
    from fabricated import fabricate_study

    study = fabricate_study()
    rows = study.recommendation.comparisons
    some = (dataclasses.replace(rows[0], images=16), *rows[1:])
    found = dataclasses.replace(study.recommendation, comparisons=some)
    study = dataclasses.replace(study, recommendation=found)
    record = next(t for t in study.complete if t.number == found.number)
    record = dataclasses.replace(record, values=VALUES)
    write_composite(composite_document(context, study, contender(record)), tmp_path / "some.json")
    written = read_composite(tmp_path / "some.json")["result"]["validation"]
    assert [b.get("images") for b in written["baselines"]] == [16] + [None] * (len(rows) - 1)


def test_a_single_validation_image_is_written_without_an_interval(context, document, tmp_path):
    from fabricated import fabricate_study, one_validation_image

    study = one_validation_image(fabricate_study())
    record = next(t for t in study.complete if t.number == study.recommendation.number)
    record = dataclasses.replace(record, values=VALUES)
    write_composite(composite_document(context, study, contender(record)), tmp_path / "one.json")
    written = read_composite(tmp_path / "one.json")["result"]["validation"]
    assert written["interval"] == [None, None]
    assert written["mean"] == study.recommendation.mean
    first = written["baselines"][0]
    assert (first["interval"], first["p"], first["p_hochberg"]) == ([None, None], None, None)
