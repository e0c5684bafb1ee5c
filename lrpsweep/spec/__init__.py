"""The study file: typed, frozen values, the search space, and nothing that computes."""

from lrpsweep.spec.depths import depth_ends
from lrpsweep.spec.dimensions import Choice, Dimension, Fixed, Int, Linear, Log, extremes
from lrpsweep.spec.finding import bundled_studies, find_study, resolve_path
from lrpsweep.spec.identity import difference, identity
from lrpsweep.spec.loading import load_study, parse_study
from lrpsweep.spec.presets import PRESETS, Part, Preset, Span, preset_parts
from lrpsweep.spec.rules import RULES, STABILIZER
from lrpsweep.spec.space import (
    ConcreteBlock,
    active,
    axes,
    bounds,
    contains,
    decode,
    encode,
    first_point,
    free,
    grid,
    searched_depths,
    substitute,
)
from lrpsweep.spec.study import (
    FACTORY,
    BlockSpec,
    DataSpec,
    EvaluationSpec,
    ModelSpec,
    Preprocess,
    PresetSpec,
    RunSpec,
    SamplerSpec,
    SplitSpec,
    StudySpec,
)
from lrpsweep.spec.writing import Proposal, blocks_text, init_text, write_study

__all__ = [
    "FACTORY",
    "PRESETS",
    "RULES",
    "STABILIZER",
    "BlockSpec",
    "Choice",
    "ConcreteBlock",
    "DataSpec",
    "Dimension",
    "EvaluationSpec",
    "Fixed",
    "Int",
    "Linear",
    "Log",
    "ModelSpec",
    "Part",
    "Preprocess",
    "Preset",
    "PresetSpec",
    "Proposal",
    "RunSpec",
    "SamplerSpec",
    "Span",
    "SplitSpec",
    "StudySpec",
    "active",
    "axes",
    "blocks_text",
    "bounds",
    "bundled_studies",
    "contains",
    "decode",
    "depth_ends",
    "difference",
    "encode",
    "extremes",
    "find_study",
    "first_point",
    "free",
    "grid",
    "identity",
    "init_text",
    "load_study",
    "parse_study",
    "preset_parts",
    "resolve_path",
    "searched_depths",
    "substitute",
    "write_study",
]
