"""The study file: typed, frozen values, the search space, and nothing that computes."""

from lrpsweep.study.dimensions import (
    Choice,
    Dimension,
    Fixed,
    Int,
    Linear,
    Log,
)
from lrpsweep.study.fields import (
    FACTORY,
    DataSpec,
    EvaluationSpec,
    ModelSpec,
    Preprocess,
    SplitSpec,
    StudySpec,
)
from lrpsweep.study.finding import bundled_studies, find_study, resolve_path
from lrpsweep.study.identity import difference, identity, plugins_used
from lrpsweep.study.loading import load_study, parse_study
from lrpsweep.study.space import Space, axes, decode, encode, first_point, free, grid
from lrpsweep.study.writing import blocks_text, init_text, propose_block, write_study

__all__ = [
    "FACTORY",
    "Choice",
    "DataSpec",
    "Dimension",
    "EvaluationSpec",
    "Fixed",
    "Int",
    "Linear",
    "Log",
    "ModelSpec",
    "Preprocess",
    "Space",
    "SplitSpec",
    "StudySpec",
    "axes",
    "blocks_text",
    "bundled_studies",
    "decode",
    "difference",
    "encode",
    "find_study",
    "first_point",
    "free",
    "grid",
    "identity",
    "init_text",
    "load_study",
    "parse_study",
    "plugins_used",
    "propose_block",
    "resolve_path",
    "write_study",
]
