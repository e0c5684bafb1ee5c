from __future__ import annotations

import pickle
import re
from dataclasses import replace
from functools import reduce
from pathlib import Path

import pytest
from study_text import PATH, STUDY, study

from lrpsweep.composites import Block, preset
from lrpsweep.errors import InputError
from lrpsweep.evaluation.protocols import PROTOCOLS
from lrpsweep.study import (
    Fixed,
    Int,
    Log,
    Preprocess,
    StudySpec,
    bundled_studies,
    identity,
    load_study,
    parse_study,
)
from lrpsweep.study.overrides import override
from lrpsweep.study.writing import dump
from lrpsweep.study.yaml_text import read_yaml

FOLDER = "data={folder: images, labels: name, split: {search: 4, validation: 0}}"


@pytest.mark.parametrize("name", bundled_studies())
def test_every_bundled_study_loads(name):
    spec = load_study(bundled_studies()[name])
    assert spec.name == name


def test_the_quickstart_has_49_trials_and_what_the_tour_promises():
    spec = load_study(bundled_studies()["quickstart"])
    assert [d.points for d in spec.search.values()] == [7, 7]
    split = spec.data.split
    assert (split.search, split.selection, split.validation) == (32, 16, 64)
    assert spec.evaluation.patch == 4


def test_a_study_is_typed_values_with_the_defaults_of_the_protocol():
    spec = study()
    assert spec.search == {"g": Log(log=(0.01, 1.0), zero=True, points=4)}
    assert spec.composite.blocks[1] == Block(
        "early", ("features.1..features.9",), "gamma", {"gamma": "$g"}
    )
    evaluation = spec.evaluation
    assert (evaluation.protocol, evaluation.patch, evaluation.schedule) == (
        "default",
        8,
        "quadratic",
    )
    assert (evaluation.perturbation, evaluation.score) == ("telea", "logit")
    assert spec.objectives == ("auc_morf",)
    assert spec.data.target == "label"
    assert spec.text == STUDY
    assert spec.base == Path("somewhere")


def test_a_study_travels_to_workers():
    spec = study()
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_a_study_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        study().name = "other"


def test_layers_are_selected_in_many_ways():
    spec = study("composite.early.layers=[0, 1..16, Conv2d, features.18..end, ..end]")
    assert spec.composite.blocks[1].layers == ("0", "1..16", "Conv2d", "features.18..end", "..end")


def test_a_plain_number_is_a_fixed_value():
    spec = study("search.h=0.5", "composite.default={block: default, rule: epsilon, epsilon: $h}")
    assert spec.search["h"] == Fixed(fixed=0.5)


def test_numbers_without_a_point_are_numbers():
    spec = study("search.g={log: [1e-4, 1], points: 3}")
    assert spec.search["g"] == Log(log=(1e-4, 1.0), points=3)


def test_folders_may_be_named_by_numbers():
    spec = study(FOLDER, "data.classes=[29, n01632777]", "data.target=29")
    assert spec.data.classes == ("29", "n01632777")
    assert spec.data.target == 29


def test_preprocessing_may_be_written_out():
    values = "{resize: 256, crop: 224, mean: [0.5, 0.5, 0.5], std: [1, 1, 1]}"
    spec = study(f"model={{torchvision: vgg16, weights: null, preprocess: {values}}}", FOLDER)
    assert spec.model.preprocess == Preprocess(
        resize=256, crop=224, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0)
    )


def test_one_name_may_serve_several_blocks():
    spec = study("composite.pixel={block: pixel, layers: features.0, rule: gamma, gamma: $g}")
    assert [b.values for b in spec.composite.blocks] == [{"gamma": "$g"}, {"gamma": "$g"}, {}]


BAD = {
    "unknown key": (["nam=1"], "nam: unknown key; expected one of version, name.*Did you mean"),
    "unknown inner key": (
        ["data.split.serach=1"],
        "data.split.serach: unknown key; expected one of search, selection, validation, seed. Did "
        "you mean 'search'?",
    ),
    "unknown key of a block": (
        ["composite.early.gama=1"],
        "composite.early.gama: unknown key; .* Did you mean 'gamma'",
    ),
    "unknown key of a range": (
        ["search.g.point=1"],
        "search.g.point: unknown key; expected one of log, zero, points. Did you mean 'points'",
    ),
    "unknown key of preprocess": (
        [FOLDER, "model={torchvision: vgg16, weights: null, preprocess: {means: 1}}"],
        "model.preprocess.means: unknown key; expected one of resize, crop, mean, std. Did",
    ),
    "missing key": (["data.split={search: 1}"], "data.split.validation: missing"),
    "wrong type": (["data.split.search=many"], "search.* found 'many'; expected a whole number"),
    "truth is no number": (["evaluation.patch=true"], "patch.*found true; expected a whole number"),
    "version": (["version=3"], "version.*: found 3; expected 1 or 2"),
    "guards of version 1": (
        ["objective=srg", "guards={auc_morf: 2.5}"],
        "guards.*: found .*; expected nothing, or `version: 2`",
    ),
    "a floor of version 1": (["floor=true"], "floor.*: found true; expected nothing, or `version"),
    "what is used today in version 1": (["current=tutorial"], "current.*; expected nothing, or `v"),
    "selection images of version 1": (
        ["data.split.selection=2"],
        "data.split.selection.*: found 2; expected nothing, or `version: 2`",
    ),
    "a guard on the objective": (
        ["version=2", "objective=srg", "guards={srg: 2}"],
        "guards.srg.*: found 'srg'; expected other measures: this one is the objective",
    ),
    "a guard that no heatmap changes": (
        ["version=2", "guards={auc_random: 2}"],
        "guards.auc_random.*: found 'auc_random'; expected measures that a heatmap changes",
    ),
    "a guard of no measure": (["version=2", "guards={morf: 2}"], "guards.* found 'morf'; expected"),
    "a guard of nothing": (["version=2", "guards={auc_morf: 0}"], "guards.auc_morf.*more than 0"),
    "a guard of all": (["version=2", "guards={auc_morf: 101}"], "guards.auc_morf.*at most 100"),
    "no preset is used today": (
        ["version=2", "current=tutoria"],
        "current.*: found 'tutoria'; expected one of .*, or the path of a composite.json.*Did you",
    ),
    "name that is no file name": (
        ["name=../../etc"],
        "name.*: found '../../etc'; expected letters",
    ),
    "list in place of a mapping": (["model=[scenes]"], "model.*: found ..scenes..; expected a map"),
    "misspelt word": (["sampler.name=tpee"], "sampler.name.*'tpee'; expected 'grid'.*mean 'tpe'"),
    "two models": (
        ["model.torchvision=vgg16", "model.weights=null"],
        "model: found embedded and torchvision; expected exactly one",
    ),
    "no model": (["model={}"], "model.*: found none; expected exactly one of embedded, torchvis"),
    "no weights": ([FOLDER, "model={torchvision: vgg16}"], "model.weights: missing; expected"),
    "weights for the embedded": (
        ["model.weights=null"],
        "model.weights.*: found null; expected no",
    ),
    "labels of the embedded": (["data.labels=name"], "data.labels.*: found 'name'; expected noth"),
    "labels left out": (
        [FOLDER, "data.labels=null"],
        "data.labels.*: found null; expected 'index'",
    ),
    "labels missing": (
        ["data={folder: images, split: {search: 4, validation: 0}}"],
        "data.labels: missing; expected 'index', 'name', 'wnid' or a map",
    ),
    "labels map to a list": (
        [FOLDER, "data.labels={a: [1]}"],
        "data.labels.*expected a class index",
    ),
    "preprocess of a factory missing": (
        ["model={factory: 'net:make'}"],
        "model.preprocess: missing; expected",
    ),
    "a factory without a function": (
        ["model={factory: net}"],
        "model.factory: found 'net'; expected 'package.module:function'",
    ),
    "a factory with a gap": (["model={factory: 'a..b:f'}"], "model.factory: found 'a..b:f'"),
    "weights of a network handed over": (
        ["model={python: mine, weights: w.pt, preprocess: {mean: [0,0,0], std: [1,1,1], crop: 8}}"],
        "model.weights: found 'w.pt'; expected nothing",
    ),
    "two sources": (
        ["data={folder: a, csv: b, labels: index, split: {search: 4, validation: 0}}"],
        "data: found folder and csv; expected exactly one of",
    ),
    "root of a folder": (
        [FOLDER, "data.root=elsewhere"],
        "data.root: found 'elsewhere'; expected nothing",
    ),
    "data set without root": (
        ["data={dataset: CIFAR10, labels: index, split: {search: 4, validation: 0}}"],
        "data.root: missing; expected the folder",
    ),
    "left out without labels": (
        [
            "data={folder: a, target: prediction, misclassified: leave_out, "
            "split: {search: 4, validation: 0}}"
        ],
        "data.labels: missing; .* because misclassified is 'leave_out'",
    ),
    "labels of images handed over": (
        ["data={python: mine, labels: name, split: {search: 4, validation: 0}}"],
        "data.labels: found 'name'; expected nothing: labels handed over",
    ),
    "schedule of the thesis": (
        ["evaluation={protocol: thesis, schedule: linear}"],
        "evaluation.schedule.*: found 'linear'; expected nothing",
    ),
    "a bound of the bias": (
        ["constraints={bias: 0.5}"],
        "constraints.*: found {bias: 0.5}; expected bounds of unexplained and hot_spot alone: a "
        "bound of the bias share would favour rules",
    ),
    "a bound that nothing keeps": (
        ["constraints.unexplained=0"],
        "constraints.unexplained.*: found 0; expected more than 0",
    ),
    "unknown constraint": (
        ["constraints={hotspot: 1}"],
        "constraints.hotspot: unknown key; expected one of unexplained, hot_spot. Did you mean",
    ),
    "perturbation of the thesis": (
        ["evaluation={protocol: thesis, perturbation: mean}"],
        "evaluation.perturbation.*: found 'mean'; expected telea or uniform",
    ),
    "form of a rule without epsilon": (
        ["composite.early.form=unsigned"],
        "composite.early.form.*: found 'unsigned'; expected nothing: rule 'gamma' takes gamma, ",
    ),
    "unknown option": (
        ["composite.early.bias=keep"],
        "composite.early.bias.*'keep'; expected one of scaled, kept, .* Did you mean 'kept'",
    ),
    "option of a range": (
        ["composite.early.bias=$g"],
        "composite.early.bias.*'.g', a range of numbers; expected a choice, each one of scaled",
    ),
    "option of no name": (["composite.early.bias=$h"], "early.bias.*a name under search: g"),
    "option that may be unknown": (
        ["search.b={choice: [kept, lost]}", "composite.early.bias=$b"],
        "composite.early.bias: found '.b', which may be 'lost'; expected one of scaled",
    ),
    "stabilizer and none": (
        ["composite.early.stabilize=none", "composite.early.stabilizer=1e-3"],
        "composite.early.stabilizer.*found 0.001; expected nothing: stabilize is 'none'",
    ),
    "stabilizer of what divides nothing": (
        ["composite.default={block: default, rule: pass, stabilizer: 1}"],
        "composite.default.stabilizer: found 1.0; expected nothing: rule 'pass' takes pooling",
    ),
    "crop over resize": (
        [
            FOLDER,
            "model={torchvision: v, weights: null, "
            "preprocess: {resize: 9, crop: 10, mean: [0, 0, 0], std: [1, 1, 1]}}",
        ],
        "model.preprocess.crop: found 10; expected at most the 9 pixels",
    ),
    "no search images": (
        ["data.split.search=0"],
        "data.split.search.*found 0; expected at least 1",
    ),
    "range upside down": (
        ["search.g.log=[1, 0.1]"],
        r"search.g.log.*\[1.0, 0.1\]; expected 0 < low",
    ),
    "log from zero": (["search.g.log=[0, 1]"], "search.g.log.*zero: true adds 0"),
    "linear upside down": (["search.g={linear: [1, 1], points: 2}"], "search.g.linear.*low < high"),
    "int upside down": (
        ["search.g={int: [3, 2]}"],
        "search.g.int: found .3, 2.; expected low < hi",
    ),
    "endless range": (["search.g.log=[1, .inf]"], "search.g.log.1.*found inf; expected a finite"),
    "three ends": (["search.g.log=[1, 2, 3]"], "search.g.log.*expected at most 2 entries"),
    "one end": (["search.g.log=[1]"], "search.g.log.1: missing"),
    "too few points": (["search.g.points=2"], "search.g.points.*found 2; expected at least 3"),
    "too many points": (["search.g={int: [0, 3], points: 9}"], "search.g.points.*at most 4"),
    "grid without points": (
        ["search.g={log: [0.1, 1]}"],
        "search.g.points: missing; expected a number: the sampler is grid",
    ),
    "two kinds": (["search.g.linear=[0, 1]"], "search.g: found .*one of log, linear, int"),
    "no kind": (
        ["search.g={lgo: [0, 1]}"],
        "search.g.*expected a number or a range with one of log",
    ),
    "endless grid": (["search.g={int: [0, 5000]}"], "search.g.points: missing"),
    "number too large": ([f"composite.early.gamma={'9' * 400}"], "early.gamma.*expected a number"),
    "range too large": ([f"search.g={{int: [1, {'9' * 400}]}}"], "search.g.int.1.*at most 1e.09"),
    "choice of nothing": (["search.g={choice: [1, null]}"], "choice.1.*found null; expected a num"),
    "choice of no number": (["search.g={choice: [1, .nan]}"], "choice.1.*expected a finite number"),
    "preprocess that is a word": (["model.preprocess=none"], "preprocess.*'none'; expected 'auto'"),
    "no folders": (["data.classes=[[1]]"], "data.classes.*expected a list of folder names"),
    "repeated choice": (["search.g={choice: [1, 1]}"], "search.g.choice: found .1, 1.; exp.*once"),
    "lonely choice": (["search.g={choice: [1]}"], "search.g.choice.*expected at least 2 values"),
    "nothing searched": (["search={}"], "search.*expected at least 1 entries"),
    "nothing free": (["search.g=0.5"], "search: found fixed values only"),
    "name with a slash": (
        ["search.a/b={linear: [0, 1], points: 2}"],
        "search.a/b.*letters, digits",
    ),
    "unused name": (
        ["search.h={linear: [0, 1], points: 2}"],
        "search.h.*: used by no block; expected '.h' somewhere in composite",
    ),
    "unknown name": (
        ["composite.early.gamma=$gg"],
        r"composite.early.gamma.*: found '\$gg'; expected a name under search: g. Did you mean 'g'",
    ),
    "gamma below zero": (
        ["composite.early.gamma=-0.1"],
        "early.gamma.*-0.1; expected .* at least 0",
    ),
    "gamma that may go below zero": (
        ["search.g={linear: [-0.5, 1], points: 3}"],
        r"composite.early.gamma: found '\$g', which may be -0.5; expected a number of at least 0",
    ),
    "gamma that may be a word": (
        ["search.g={choice: [1, much]}"],
        "early.gamma: found '.g', which may be 'much'",
    ),
    "alpha below one": (
        ["composite.default.rule=alpha_beta", "composite.default.alpha=0.5"],
        "composite.default.alpha.*found 0.5; expected a number of at least 1",
    ),
    "infinite epsilon": (
        ["composite.default.rule=epsilon", "composite.default.epsilon=inf"],
        "composite.default.epsilon.*found inf; expected a number of at least 0",
    ),
    "stabilizer below zero": (["composite.early.stabilizer=-1"], "early.stabilizer.*at least 0"),
    "hyperparameter that is a list": (
        ["composite.early.gamma=[1]"],
        "early.gamma.*expected a number",
    ),
    "hyperparameter that is nothing": (
        ["composite.early.gamma=.nan"],
        "early.gamma.*exp.* a number",
    ),
    "unknown rule": (
        ["composite.early.rule=gama"],
        "early.rule.*'gama'; exp.* Did you mean 'gamma'",
    ),
    "range of rules": (["composite.default.rule=$g"], "default.rule.*'.g', a range of numbers"),
    "searched rule of no name": (
        ["composite.default.rule=$h"],
        "default.rule.*a name under search",
    ),
    "searched unknown rule": (
        ["search.r={choice: [zero, zorro]}", "composite.default.rule=$r"],
        "composite.default.rule.*which may be 'zorro'; expected .*Did you mean 'zero'",
    ),
    "foreign hyperparameter": (
        ["composite.pixel.gamma=1"],
        "composite.pixel.gamma.*: found 1.0; expected nothing: rule 'z_box' takes stabilizer",
    ),
    "missing hyperparameter": (
        ["composite.default.rule=epsilon"],
        "composite.default.epsilon: missing; expected a number of at least 0",
    ),
    "block twice": (["composite.pixel.block=early"], "composite.early.block.*'early' 2 times"),
    "no blocks": (["composite=[]"], "composite.*: found ..; expected at least one block"),
    "composite that is a word": (
        ["composite=tutorial"],
        "composite.*expected a list of blocks, or",
    ),
    "no layers": (["composite.0={block: pixel, rule: z_box}"], "composite.pixel.layers.*: missing"),
    "layers of the rest": (
        ["composite.default.layers=0"],
        "default.layers.*found .'0'.; exp.* nothi",
    ),
    "bad selector": (["composite.pixel.layers=features[0]"], "pixel.layers.*a range 'first..last'"),
    "bad range": (["composite.pixel.layers=0...3"], "composite.pixel.layers.*found '0...3'"),
    "empty layers": (
        ["composite.pixel.layers=[]"],
        "composite.pixel.layers.*found ..; expected a lay",
    ),
    "unknown preset": (
        ["composite={preset: tutorail, gamma: $g}"],
        "composite.preset.*found 'tutorail'; expected one of tutorial.*Did you mean 'tutorial'",
    ),
    "unknown hyperparameter of a preset": (
        ["composite={preset: tutorial, gama: $g}"],
        "composite.gama.*: unknown key; expected one of gamma, epsilon.* Did you mean 'gamma'",
    ),
    "preset out of bounds": (
        ["composite={preset: decreasing_gamma, gamma1: -1, gamma2: $g}"],
        "composite.gamma1.*found -1.0; expected a number of at least 0",
    ),
    "depth of a range of numbers": (
        ["composite.early.layers=depth ..$g"],
        "composite.early.layers.*'.g', a range of all numbers; expected an int, or a choice of who",
    ),
    "depth of no name": (
        ["composite.early.layers=depth ..$h"],
        "composite.early.layers.*found '.h'; expected a name under search",
    ),
    "depth below zero": (
        ["search.l={int: [-1, 3]}", "composite.early.layers=depth $l"],
        "composite.early.layers.*'.l', which may be -1; expected whole numbers of at least 0",
    ),
    "depth that is a word": (
        ["search.l={choice: [1, all]}", "composite.early.layers=depth $l"],
        "composite.early.layers.*'.l', which may be 'all'; expected whole numbers",
    ),
    "bad depth": (["composite.early.layers=depth 1-3"], "early.layers.*found 'depth 1-3'; exp"),
    "infinitely many layers of flat": (
        ["composite={preset: cmp_alpha1_flat_n, n: inf}"],
        "composite.n.*found inf; expected whole numbers of at least 0",
    ),
    "half a layer of flat": (
        ["composite={preset: cmp_alpha1_flat_n, n: 1.5}"],
        "composite.n.*found 1.5; expected whole numbers of at least 0",
    ),
    "decay that grows": (
        ["composite.early.decay=1.5"],
        "composite.early.decay.*found 1.5; expected a number from 0 to 1",
    ),
    "decay of another rule": (
        ["composite.default.decay=0.5"],
        "composite.default.decay.*found 0.5; expected nothing: rule 'zero' takes",
    ),
    "bound alone": (["composite.pixel.low=-2"], "composite.pixel.high: missing; .* low is given"),
    "bounds of another number": (
        ["composite.pixel.low=-2", "composite.pixel.high=[2, 2, 2]"],
        "composite.pixel.high.*found 3 numbers; expected 1, as low",
    ),
    "bounds upside down": (
        ["composite.pixel.low=[-2, 3]", "composite.pixel.high=[2, 2]"],
        "composite.pixel.high.*found .2.0, 2.0.; expected more than low, .-2.0, 3.0.",
    ),
    "bound that is a word": (["composite.pixel.low=a"], "pixel.low.*found 'a'; expected a number"),
    "bounds of another rule": (
        ["composite.early.low=-2"],
        "composite.early.low.*found .-2.0.; expected nothing: rule 'gamma' takes",
    ),
    "unknown baseline": (
        ["baselines=[tutorail]"],
        "baselines.0.*found 'tutorail'; expected one of .*Did you mean 'tutorial'",
    ),
    "baseline twice": (["baselines=[tutorial, tutorial]"], "baselines.1.*'tutorial' again; exp"),
    "no baselines": (["baselines=[]"], "baselines.*found ..; expected at least 1 entries"),
    "steps of the quadratic": (
        ["evaluation.steps=3"],
        "evaluation.steps.*found 3; expected nothing",
    ),
    "trials of a grid": (["trials=3"], "trials.*: found 3; expected nothing: a grid"),
    "a choice for cmaes": (
        ["search.g={choice: [0.1, 0.2]}", "sampler.name=cmaes", "trials=20"],
        r"search.g: found {choice: \[0.1, 0.2\]}; expected a range of numbers, or another sampler: "
        "cmaes knows no choices",
    ),
    "a lag below zero": (["economy={lag: -1}"], "economy.lag: found -1; expected"),
    "fewer states in version 1": (
        ["economy={states: auto}"],
        "economy.states: found 'auto'; expected nothing, or `version: 2`",
    ),
    "a race in version 1": (
        ["economy={racing: true}"],
        "economy.racing: found true; expected nothing, or `version: 2`",
    ),
    "fewer states in chains": (
        [
            *("version=2", "objective=srg", "economy={states: [0, 2]}"),
            "evaluation={protocol: thesis}",
        ],
        r"economy.states: found \[0, 2\]; expected all: in protocol thesis every state is made",
    ),
    "auto states in chains": (
        [
            *("version=2", "objective=srg", "economy={states: auto}"),
            "evaluation={protocol: thesis}",
        ],
        "economy.states: found 'auto'; expected all: in protocol thesis",
    ),
    "states in disorder": (
        ["version=2", "economy={states: [0, 4, 2]}"],
        r"economy.states: found \[0, 4, 2\]; expected steps in ascending order, each once",
    ),
    "a state twice": (
        ["version=2", "economy={states: [0, 2, 2]}"],
        r"economy.states: found \[0, 2, 2\]; expected steps in ascending order, each once",
    ),
    **{
        f"states {states}": (
            ["version=2", f"economy={{states: {states}}}"],
            "economy.states: found .*; expected 'all', 'auto' or a list of steps of the schedule",
        )
        for states in ("[-1, 4]", "[]", "[true, false]", "[0, 1.5]", "4", "some", "true", "{a: 1}")
    },
    "a race that is no choice": (["version=2", "economy={racing: 3}"], "economy.racing: found 3"),
    "no trials": (["sampler.name=tpe"], "trials: missing; expected a number: the sampler is tpe"),
    "patch of nothing": (["evaluation.patch=0"], "evaluation.patch.*found 0; expected at least 1"),
    "text and path are not keys": (["text=a"], "text.*unknown key"),
    "key that looks like pydantic's": (["<log>=a"], "<log>: unknown key; expected one of version"),
}


@pytest.mark.parametrize(("overrides", "message"), BAD.values(), ids=BAD)
def test_bad_studies_are_refused_with_place_finding_and_expectation(overrides, message):
    raw = reduce(override, overrides, read_yaml(STUDY))
    with pytest.raises(InputError) as caught:
        parse_study(dump(raw), PATH)
    assert re.search(message, str(caught.value))
    assert str(caught.value).startswith(str(PATH))


@pytest.mark.parametrize("overrides", [o for o, _ in BAD.values()], ids=BAD)
def test_no_message_speaks_of_the_machinery(overrides):
    with pytest.raises(InputError) as caught:
        study(*overrides)
    for word in ("pydantic", "tuple", "<", "dict", "Input should", "[key]", "instance"):
        rest = str(caught.value).replace("0 < low < high", "").replace("low < high", "")
        assert word not in rest or any(word in override for override in overrides)


def test_every_problem_has_its_own_paragraph():
    with pytest.raises(InputError) as caught:
        study("composite.early.gamma=$x", "trials=3")
    paragraphs = str(caught.value).split("\n\n")
    assert [p.partition(" ")[2].partition(":")[0].split(" ")[0] for p in paragraphs] == [
        "composite.early.gamma",
        "search.g",
        "trials",
    ]


def test_a_long_value_is_cut():
    with pytest.raises(InputError) as caught:
        study(f"name={'x ' * 5000}")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found no keys; expected a study"),
        (b"- 1", "found no keys"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"a: {", "line 1, column 5: "),
        (b"a: 1\na: 2", r"line 2, column 1: found the key 'a' twice"),
        (b"a: &b 1", "anchor or alias"),
        (b"a" * 1_000_001, "more than 1000000 bytes"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_study(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="found no such file"):
        load_study(tmp_path / "none.yaml")


def test_an_int_range_needs_no_points_for_a_grid():
    spec = study("search.g={int: [0, 3]}")
    assert spec.search["g"] == Int(int=(0, 3))


def test_a_preset_is_a_composite():
    spec = study("composite={preset: tutorial, gamma: $g}")
    assert spec.composite == preset("tutorial", {"gamma": "$g"})
    assert isinstance(spec, StudySpec)


URL = "postgresql://me:s3/cr:et@host:5432/lrp"


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_password_in_the_file_is_used_but_not_kept(quote):
    spec = study(text=f"{STUDY}run: {{storage: {quote}{URL}{quote}}}\n")
    assert spec.run.storage == URL
    assert "s3/cr" not in spec.text
    assert "postgresql://me:***@host:5432/lrp" in spec.text


def test_a_password_in_an_override_is_used_but_not_kept():
    spec = study(f"run.storage={URL}", "run.tracking_uri=http://h/?user=me&password=s3cret")
    assert (spec.run.storage, spec.run.tracking_uri[-6:]) == (URL, "s3cret")
    assert "s3" not in spec.text
    assert "--set run.storage=postgresql://me:***@host:5432/lrp" in spec.text
    assert "http://h/?user=me&password=***" in spec.text


def test_a_kept_study_asks_for_its_password_again():
    kept = study(f"run.storage={URL}").text
    with pytest.raises(InputError, match=r"run.storage: found 'postgresql://me:\*\*\*@host.*--set"):
        parse_study(kept, PATH)
    assert parse_study(kept, PATH, [f"run.storage={URL}"]).run.storage == URL


def test_no_error_shows_a_password():
    with pytest.raises(InputError) as caught:
        study(f"run=[{URL}]")
    assert "s3" not in str(caught.value)


def test_addresses_without_a_password_keep_the_text():
    text = f"{STUDY}run: {{tracking_uri: http://host:5000/a}}  # mine\n"
    assert study(text=text).text == text


def test_version_2_guards_and_keeps_a_floor_unless_the_study_says_otherwise():
    assert (study().objective, study().guards, study().floor) == ("auc_morf", {}, False)
    assert study().recorded == ("auc_morf",)
    new = study("version=2")
    assert (new.objective, new.guards, new.floor) == ("srg", {"auc_morf": 5.0}, True)
    assert new.recorded == ("srg", "auc_morf", "auc_lerf")
    other = study("version=2", "objective=hot_spot", "guards={auc_lerf: 10}", "floor=false")
    assert (other.guards, other.floor) == ({"auc_lerf": 10.0}, False)
    assert other.recorded == ("hot_spot", "auc_lerf", "auc_morf", "srg")
    assert study("version=2", "objective=auc_morf").guards == {}


def test_guards_floor_and_parts_make_a_study_of_version_2_another_one():
    def hashed(*overrides: str) -> str:
        spec = study("version=2", *overrides)
        return identity(spec, fingerprint="", image_ids=[], image_hashes=[], targets=[])[0]

    changes = [
        "guards={auc_morf: 10}",
        "floor=false",
        "data.split.selection=2",
        "objective=auc_lerf",
    ]
    assert len({hashed(), *(hashed(change) for change in changes)}) == 5
    same = ["data.split.validation=99", "baselines=[tutorial]", "current=tutorial"]
    assert {hashed(change) for change in same} == {hashed()}


def test_an_objective_that_no_heatmap_changes_is_refused():
    with pytest.raises(InputError, match=r"objective.*: found 'auc_random', which no heatmap"):
        study("objective=auc_random")


def test_objectives_are_a_tuple_and_one_may_be_written_as_a_list():
    one, listed = study("objective=srg"), study("objective=[srg]")
    assert one.objectives == listed.objectives == ("srg",)
    with pytest.raises(
        InputError, match=r"objective.*: found .*; expected one measure, or `version: 2`"
    ):
        study("objective=[srg, auc_morf]")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("objective=sgr", r"found 'sgr'; expected 'auc_morf', .*'srg'.* Did you mean 'srg'"),
        ("evaluation.protocol=theses", r"expected 'default' or 'thesis'. Did you mean 'thesis'"),
        ("evaluation.perturbation=talea", r"found 'talea'; expected 'telea', .*'telea'\?"),
        ("evaluation.score=logits", r"expected 'logit' or 'probability'. Did you mean 'logit'"),
        ("evaluation.schedule=cubic", r"found 'cubic'; expected 'quadratic' or 'linear'"),
        ("sampler.name=[grid]", r"sampler.name.*: found .'grid'.; expected 'grid'"),
    ],
)
def test_names_of_tables_are_looked_up_with_a_guess(change, message):
    with pytest.raises(InputError, match=message):
        study(change)


def test_rules_of_a_block_are_for_layers_of_one_kind():
    with pytest.raises(InputError, match=r"early\.rule.*found rules for layers of different kinds"):
        study("search.r={choice: [zero, winner]}", "composite.early.rule=$r")
    pools = "{block: pools, layers: MaxPool2d, rule: sum}"
    spec = study(f"composite.pixel={pools}")
    assert spec.composite.blocks[0] == Block("pools", ("MaxPool2d",), "sum")
    with pytest.raises(InputError, match=r"pools\.pooling.*found 'sum'; expected nothing"):
        study(f"composite.pixel={pools[:-1]}, pooling: sum}}")


def test_a_protocol_says_which_schedules_take_steps():
    toy = replace(
        PROTOCOLS["default"], name="toy", schedules=("cubic", "linear"), stepped=("cubic",)
    )
    with PROTOCOLS.register(toy):
        assert study("evaluation={protocol: toy, schedule: cubic, steps: 3}").evaluation.steps == 3
        with pytest.raises(InputError, match=r"evaluation\.steps.* the linear schedule follows"):
            study("evaluation={protocol: toy, schedule: linear, steps: 3}")
