"""Frozen features that are there in a moment, for measures."""

import numpy as np

from xsample_tf.evaluation import Settings, Split, Splits


def quiet(text: str) -> None:
    """A log that nobody reads."""


def splits(train=60, val=40, classes=7, size=5, seed=0, project=None, **settings) -> Splits:
    """Features of noisy clusters, a cluster a class, whose captions say the cluster in noise."""
    random = np.random.default_rng(seed)
    centers, words = random.normal(size=(classes, size)), random.normal(size=(classes, 6)) + 1
    return Splits(
        *(_split(random, count, centers, words, project) for count in (train, val)),
        classes,
        Settings(**{"seed": seed, "log": quiet} | settings),
    )


def _split(random, count, centers, words, project) -> Split:
    labels = random.integers(0, len(centers), count)
    embeddings = centers[labels] + random.normal(size=(count, centers.shape[1]))
    captions = words[labels] + random.normal(size=(count, words.shape[1]))
    captions /= np.linalg.norm(captions, axis=1, keepdims=True)
    embeddings = embeddings.astype(np.float32)
    projected = None if project is None else lambda: project(embeddings)
    return Split(embeddings, labels, captions.astype(np.float32), projected)
