"""Composites for zennit."""
