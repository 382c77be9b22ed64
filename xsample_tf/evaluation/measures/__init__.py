"""Measures: what is computed of frozen features, a file each."""
