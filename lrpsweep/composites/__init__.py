"""Composites: which rule, with which hyperparameters, each block of layers gets."""
