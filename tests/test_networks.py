"""torchvision's networks, from a study to scores; weights random, images drawn."""

import numpy as np
import pytest

from lrpsweep.study import parse_study
from lrpsweep.trial.candidates import tuned
from lrpsweep.trial.context import Given, Task, prepare
from lrpsweep.trial.literature import fitting_presets
from lrpsweep.trial.trial import run_trial

STUDY = """\
version: 1
name: any
model:
  torchvision: NAME
  weights: null
  preprocess: {crop: 70, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
data: {python: noise, target: prediction, split: {search: 2, validation: 0}}
search: {g: {log: [0.1, 1.0], points: 2}}
composite: {preset: epsilon_gamma_box, gamma: $g}
evaluation: {patch: 35}
sampler: {name: grid}
"""
NETWORKS = ("alexnet", "squeezenet1_0", "squeezenet1_1", "vgg11", "vgg13", "vgg16", "vgg19")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_study_of_the_network(tmp_path, name):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 70, 70, 3), dtype=np.uint8)
    spec = parse_study(STUDY.replace("NAME", name), tmp_path / "any.yaml")
    context = prepare(spec, given=Given(images=(pixels, np.zeros(2, np.int64))))
    assert set(fitting_presets(context)) >= {"tutorial", "decreasing_gamma", "epsilon_plus"}
    result = run_trial(context, Task(tuned({"g": 0.25})))
    assert result.curve.shape == (3,)
    assert np.ptp(result.curve) > 0
    assert result.balance["unexplained"] < 1e-3
