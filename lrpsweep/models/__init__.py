"""Networks with all that an explanation must know about them: classes, preprocessing, weights."""

from lrpsweep.models.families import FAMILIES, load_model
from lrpsweep.models.model import Model, wrap_model

__all__ = ["FAMILIES", "Model", "load_model", "wrap_model"]
