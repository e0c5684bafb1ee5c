"""What several rooms' tests share: a small study on the embedded network."""

import os
from pathlib import Path

import pytest
from fabricated import fabricate_study

from lrpsweep.results import StudyResults

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

SMALL_STUDY = """\
version: 1
name: small
model: {embedded: scenes}
data:
  embedded: scenes
  target: label
  split: {search: 4, validation: 3, seed: 0}
search:
  gamma1: {log: [0.1, 1.0], zero: true, points: 3}
  gamma2: {log: [0.25, 1.0], points: 2}
composite:
  - {block: pixel, layers: features.0, rule: z_box}
  - {block: early, layers: features.1..features.9, rule: gamma, gamma: $gamma1}
  - {block: late,  layers: features.10..features.19, rule: gamma, gamma: $gamma2}
  - {block: default, rule: zero}
evaluation: {patch: 16, perturbation: mean}
objective: auc_morf
sampler: {name: grid, seed: 0}
run: {device: cpu, cpus: 1, cache_gb: 0.1}
"""


@pytest.fixture
def small_study(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL_STUDY, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def study() -> StudyResults:
    """A finished study of 49 trials; frozen, so one serves all tests."""
    return fabricate_study()
