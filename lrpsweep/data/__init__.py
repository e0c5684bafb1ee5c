"""Images with their labels: from folders, tables, data sets, Python, or drawn by the package."""

from lrpsweep.data.files import read_image
from lrpsweep.data.inputs import Inputs, Keep, Split, load_inputs
from lrpsweep.data.pinned import Pinned

__all__ = ["Inputs", "Keep", "Pinned", "Split", "load_inputs", "read_image"]
