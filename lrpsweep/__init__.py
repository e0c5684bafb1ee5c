"""lrpsweep: the most faithful LRP composite for your network and your images."""

__version__ = "0.1.0"
