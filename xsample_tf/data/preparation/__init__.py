"""Preparation: sources to data directories."""
