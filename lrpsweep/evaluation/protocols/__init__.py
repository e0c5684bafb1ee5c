"""Protocols: a file each; the table of all."""

from lrpsweep.evaluation.protocols.default import DEFAULT
from lrpsweep.evaluation.protocols.protocol import Protocol
from lrpsweep.evaluation.protocols.thesis import THESIS
from lrpsweep.registry import Registry

PROTOCOLS: Registry[Protocol] = Registry("protocol", (DEFAULT, THESIS))

__all__ = ["PROTOCOLS", "Protocol"]
