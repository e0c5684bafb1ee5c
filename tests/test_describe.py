"""A study in words, and a first study for a model and its images."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from lrpsweep.context import prepare
from lrpsweep.describe import describe_study
from lrpsweep.spec import load_study


def test_accuracy_is_told_where_the_classes_are_known(small_study: Path) -> None:
    context = prepare(load_study(small_study))
    name = "top-1 on the search images"
    assert describe_study(context)[name].endswith("%")
    search = context.split.search
    unknown = replace(search, labels=np.full_like(search.labels, -1))
    context = replace(context, split=replace(context.split, search=unknown))
    assert name not in describe_study(context)
