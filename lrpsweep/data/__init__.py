"""Images with their labels: from folders, tables, data sets, Python, or drawn by the package."""

from lrpsweep.data.files import read_image
from lrpsweep.data.inputs import Inputs, Keep, Split, load_inputs

__all__ = ["Inputs", "Keep", "Split", "load_inputs", "read_image"]
