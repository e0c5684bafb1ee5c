"""Measures of perturbation curves: the areas under them."""

from __future__ import annotations

import numpy as np

from lrpsweep.evaluation.measures.measure import Evidence, Measure, Needs
from lrpsweep.evaluation.orders import LERF, MORF, RANDOM


def auc(curves: np.ndarray) -> np.ndarray:
    """Mean score along each curve: trapezoid over the steps, divided by their number.

    curves: (N, S + 1) -> (N,), in units of the score.

    >>> auc(np.array([[4.0, 2.0, 0.0], [1.0, 1.0, 1.0]]))
    array([2., 1.])
    """
    inner = curves.sum(axis=1) - (curves[:, 0] + curves[:, -1]) / 2
    return np.asarray(inner / (curves.shape[1] - 1))


def _srg(found: Evidence) -> np.ndarray:
    return np.asarray(found.area_of(LERF.name) - found.area_of(MORF.name))


AUC_MORF = Measure(
    name="auc_morf",
    title="AUC (MoRF)",
    unit="score",
    direction="minimize",
    needs=Needs(orders=(MORF.name,)),
    score=lambda found: found.area_of(MORF.name),
    side=True,
)
"""The score falls early if the patches named most relevant are (Samek et al. 2017)."""

AUC_LERF = Measure(
    name="auc_lerf",
    title="AUC (LeRF)",
    unit="score",
    direction="maximize",
    needs=Needs(orders=(LERF.name,)),
    score=lambda found: found.area_of(LERF.name),
    side=True,
)
"""The score holds out if the patches named least relevant are."""

AUC_RANDOM = Measure(
    name="auc_random",
    title="AUC (random order)",
    unit="score",
    direction="minimize",
    needs=Needs(orders=(RANDOM.name,)),
    score=lambda found: found.area_of(RANDOM.name),
    control=True,
)
"""A control; its direction, that of MoRF, decides nothing."""

SRG = Measure(
    name="srg",
    title="SRG",
    formula="LeRF − MoRF",
    unit="score",
    direction="maximize",
    needs=Needs(orders=(MORF.name, LERF.name)),
    score=_srg,
    side=True,
    chance=0.0,
    guards=((AUC_MORF.name, 5.0),),
)
"""Symmetric relevance gain (Blücher et al. 2024): less bound to one perturbation. A random order
has the same curve from both ends."""
