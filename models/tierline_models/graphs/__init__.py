"""Splitting by graph: a model as data, the narrow places in it, and modules made from any range of it."""
