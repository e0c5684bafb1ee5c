"""The operations that a network may consist of."""

from typing import Any

from lrpsweep.registry import Registry

OPERATIONS: Registry[Any] = Registry("operation")
