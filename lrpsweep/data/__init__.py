"""Images with their labels: folders of pictures, and the scenes that the package draws itself."""

from lrpsweep.data.files import read_image
from lrpsweep.data.inputs import Inputs, Split, load_inputs

__all__ = ["Inputs", "Split", "load_inputs", "read_image"]
