"""Classifiers and clusters that are fitted on frozen features."""
