"""Strategies, clusters and the coordination of workers."""
