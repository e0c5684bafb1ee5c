"""A small valid study, to be changed one place at a time."""

from __future__ import annotations

from pathlib import Path

from lrpsweep.study import StudySpec, parse_study

STUDY = """\
version: 1
name: small
model: {embedded: scenes}
data:
  embedded: scenes
  split: {search: 4, validation: 2}
search:
  g: {log: [0.01, 1.0], zero: true, points: 4}
composite:
  - {block: pixel, layers: features.0, rule: z_box}
  - {block: early, layers: features.1..features.9, rule: gamma, gamma: $g}
  - {block: default, rule: zero}
sampler: {name: grid}
"""
PATH = Path("somewhere/small.yaml")


def study(*overrides: str, text: str = STUDY) -> StudySpec:
    return parse_study(text, PATH, overrides)
