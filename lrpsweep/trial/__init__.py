"""A trial: where models, data, attribution and evaluation meet."""
