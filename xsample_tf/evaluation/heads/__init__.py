"""Classifiers over known classes, which several tasks share."""
