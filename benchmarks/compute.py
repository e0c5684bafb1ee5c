"""What the economy of a study saves, and what it costs: sweeps over stored surfaces.

    python benchmarks/compute.py SURFACE.npz [...] [--seeds 20] [--trials 40] [--images N]
    python benchmarks/compute.py SURFACE.npz --bootstraps 200
    python benchmarks/compute.py SURFACE.npz --bits

A surface of one's own is made by `benchmarks/surfaces.py`: all perturbation curves of a grid. Every
sweep is a real one, with the package's sampler, pilot, races, finalists and nomination; only its
worker looks curves up in the place of making them, at the point of the grid that is nearest. What
a worker's score cache would know is not passed again: states of the same composite and, of every
image, the untouched and the last one; that of other composites is not known here.

Plain is what version 0.1 does: the whole grid, all states of all images, nothing kept. Columns, over
the seeds of the sampler: passes through the network (explanations and scores) and states inpainted,
as a share of plain; regret, by how much the nominee's mean by the objective is behind that of the
grid's nominee, in its standard errors and in those of the paired difference: the median, and the
share of seeds within one; in how many seeds the nominee misses a guard that the grid's keeps.
Selection images and published composites have no part in it: both cost the same either way.

`as many passes` is plain TPE with as many trials as the passes of the economy pay for; the last line
is the difference in paired regret between both, seed by seed, with its standard error.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from lrpsweep.evaluation import MEASURES, Evidence, Race, auc, looks, subsets, thinned, with_ends
from lrpsweep.evaluation.racing import read_race
from lrpsweep.results import Contender, StudyResults, TrialResult
from lrpsweep.study import StudySpec, parse_study
from lrpsweep.sweep.nomination import Ballot, Criteria, Tally
from lrpsweep.sweep.study import Plan, run_study
from lrpsweep.sweep.validation import Proof, rule_of

ORDERS = ("morf", "lerf")
STUDY = """
version: 2
name: {name}
model: {{embedded: scenes}}
data: {{embedded: scenes, split: {{search: {images}, validation: 0, seed: 0}}}}
search:
{search}
composite: [{{block: all, layers: start..end, rule: gamma, gamma: $gamma1}},
            {{block: rest, rule: gamma, gamma: $gamma2}}]
sampler: {{name: {sampler}, seed: {seed}}}
economy: {economy}
{trials}
"""
