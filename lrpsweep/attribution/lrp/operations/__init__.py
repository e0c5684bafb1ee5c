"""The operations that a network may consist of."""
