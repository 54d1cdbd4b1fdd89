"""Labelled rows, read strictly and dealt out so that nothing tested on was seen in training."""
