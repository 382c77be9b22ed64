"""All measures of an encoder on a data directory, beside an untrained one and chance."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from xsample_tf.data.manifest import Dataset, read_dataset
from xsample_tf.data.text_encoder import TextEncoder
from xsample_tf.errors import InputError, suggest
from xsample_tf.evaluation import neighbours, ranking
from xsample_tf.evaluation.baseline import untrained
from xsample_tf.evaluation.features import Embed, Features, embedder, extract, image_shape
from xsample_tf.evaluation.measures import (
    caption_neighbours,
    caption_retrieval,
    effective_rank,
    graph_kl,
    knn,
)
from xsample_tf.evaluation.measures.linear_probe import fit_linear_probe

PROBES = ("knn", "linear")
SPLITS = ("train", "val")


def evaluate(
    encoder: keras.Model | Embed,
    data_dir: str | os.PathLike,
    probes: Sequence[str] | None = None,
    baseline: keras.Model | Embed | None = None,
    projector: keras.Model | None = None,
    batch_size: int = 256,
    image_size: int | None = None,
    embedding: str | TextEncoder | None = None,
    limit: int | None = None,
    seed: int = 0,
    temperature: float = 0.1,
    target_temperature: float = 0.1,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Evaluates frozen features of `train/` and `val/`.

    With labels: weighted kNN and a linear probe. With caption vectors: KL to the caption graph,
    mean caption cosine of an image's nearest neighbours, and image to caption recall of a linear
    map. Always: RankMe. All that is fitted or chosen is so on `train/` alone; figures are of
    `val/`.

    Args:
        encoder: Keras model or callable, float32 images `[B, S, S, 3]` in [0, 1] to `[B, D]`.
        data_dir: A data directory.
        probes: Of "knn" and "linear"; None is both where there are labels.
        baseline: Evaluated alike, usually `untrained(encoder)`.
        projector: What training put between the encoder and the loss, where it is at hand: the KL
            is then of its output, which is what the loss compares, and of a fresh one's for the
            baseline. None takes the KL of the embedding.
        batch_size: Images at a time; changes no figure.
        image_size: S; None takes the encoder's input.
        embedding: Which text encoder's caption vectors, None where there is one at most; or a text
            encoder, where none are stored.
        limit: At most so many images of each split.
        seed: Of the held-out parts of the training set.
        temperature: tau of the KL.
        target_temperature: tau_s of the KL.
        log: Receives a line every half minute.

    Returns:
        "trained", "untrained" (with a baseline) and "chance": figures by measure, None where there
        is none; "meta": what they were computed from and with, and what was left out. JSON-able.
        Accuracies and recalls are shares of 1, KL is in nats. Chance is, for an accuracy, that of
        always naming the most frequent classes of `train/`; for the KL, that of relating all images
        alike.

    Raises:
        InputError: Unknown probe, probes without labels, no such data, split or caption vectors, or
            embeddings that are not finite.

    Example:
        >>> evaluate(encoder, "data/flickr8k", baseline=untrained(encoder))["trained"]["kl"]
    """
    dataset = read_dataset(data_dir)
    chosen = _probes(probes, dataset)
    if (embedding or dataset.encoders) and (embedding is None or isinstance(embedding, str)):
        embedding = dataset.encoder(embedding).name
    size = _image_size(encoder, image_size)
    encoders = {"trained": encoder} | ({} if baseline is None else {"untrained": baseline})
    embedders = {name: embedder(model) for name, model in encoders.items()}
    projectors = {}
    if projector is not None:
        projectors = {"trained": projector, "untrained": untrained(projector, seed)}
    train, val = (
        extract(embedders, str(data_dir), split, size, batch_size, embedding, limit, log)
        for split in SPLITS
    )
    found = {"train": len(train.labels), "val": len(val.labels)}
    wanted = {
        split: min(dataset.records(split), limit or dataset.records(split)) for split in found
    }
    meta = {
        "data_dir": str(data_dir),
        "images": found,
        "unreadable": {split: wanted[split] - found[split] for split in found},
        "text_encoder": getattr(embedding, "name", embedding),
        **{"image_size": size, "limit": limit, "seed": seed},
        "kl_of": "projection" if projectors else "embedding",
        **{"temperature": temperature, "target_temperature": target_temperature},
    }
    compared = {
        name: _project(projectors[name], features, batch_size) if projectors else features
        for name, features in val.embeddings.items()
    }
    return _measure(compared, train, val, dataset, chosen, meta)


def _project(projector: keras.Model, features: np.ndarray, batch_size: int) -> np.ndarray:
    """The projector's output; its `predict` would share the work with the workers of a run."""
    batches = np.split(features, range(batch_size, len(features), batch_size))
    return np.concatenate([np.asarray(projector(batch, training=False)) for batch in batches])


def _measure(
    compared: dict[str, np.ndarray],
    train: Features,
    val: Features,
    dataset: Dataset,
    probes: tuple[str, ...],
    meta: dict[str, Any],
) -> dict[str, Any]:
    """All figures of each encoder, from the features of both splits; the KL is of `compared`."""
    classes = len(dataset.class_names or ())
    labelled = [(part.labels >= 0) & (part.labels < classes) for part in (train, val)]
    captioned = [_captioned(part) for part in (train, val)]
    left_out = {
        f"{count} images of {split}": "they cannot be decoded"
        for split, count in meta["unreadable"].items()
        if count
    }
    if probes and min(rows.sum() for rows in labelled) < 2:
        left_out["probes"] = "fewer than 2 labelled images in a split"
        probes = ()
    if min(rows.sum() for rows in captioned) < 2:
        left_out["measures of captions"] = "fewer than 2 images with a caption vector in a split"
    meta |= {
        "classes": classes,
        "labelled": {split: int(rows.sum()) for split, rows in zip(SPLITS, labelled, strict=True)},
        "captioned": {
            split: int(rows.sum()) for split, rows in zip(SPLITS, captioned, strict=True)
        },
        "left_out": left_out,
    }
    results: dict[str, Any] = {}
    chance: dict[str, float | None] = {}
    for name in compared:
        search = _Search(train.embeddings[name], val.embeddings[name])
        scores: dict[str, float | None] = {}
        if probes:
            labels = train.labels[labelled[0]], val.labels[labelled[1]]
            scores |= _label_scores(search, labelled, labels, classes, probes, meta)
            chance |= _label_chance(labels, classes, list(scores))
        if "measures of captions" not in left_out:
            captions = train.captions[captioned[0]], val.captions[captioned[1]]
            found, chance_of_captions = _caption_scores(search, captioned, captions, meta)
            kl, uniform = graph_kl.graph_divergence(
                compared[name][captioned[1]],
                captions[1],
                meta["temperature"],
                meta["target_temperature"],
            )
            scores |= {"kl": kl, **found}
            chance |= {"kl": uniform, **chance_of_captions}
        results[name] = scores | {"rankme": effective_rank.rankme(val.embeddings[name])}
    chance["rankme"] = None
    return results | {"chance": chance, "meta": meta}


class _Search:
    """Nearest training images of the evaluated ones, searched once where rows are the same."""

    def __init__(self, train: np.ndarray, val: np.ndarray):
        self._features = train, val
        self._rows: list[np.ndarray] | None = None
        self._found: tuple[np.ndarray, np.ndarray] | None = None

    def features(self, rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Training and evaluated features of bool `rows` of each; no copy where all are wanted."""
        return tuple(
            part if keep.all() else part[keep]
            for part, keep in zip(self._features, rows, strict=True)
        )

    def nearest(self, rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and training rows `[Q, k]`, both within `rows`."""
        if self._rows is None or not all(map(np.array_equal, rows, self._rows)):
            train, val = self.features(rows)
            k = min(neighbours.NEIGHBOURS, len(train))
            self._rows, self._found = rows, neighbours.nearest(train, val, k)
        return self._found


def _label_scores(
    search: _Search,
    rows: list[np.ndarray],
    labels: tuple[np.ndarray, np.ndarray],
    classes: int,
    probes: tuple[str, ...],
    meta: dict[str, Any],
) -> dict[str, float]:
    scores = {}
    for probe in probes:
        if probe == "knn":
            cosines, found = search.nearest(rows)
            logits = knn.knn_scores(cosines, labels[0][found], classes)
        else:
            train, val = search.features(rows)
            logits = fit_linear_probe(train, labels[0], classes, seed=meta["seed"]).scores(val)
        for top in _tops(classes):
            scores[f"{probe}_top{top}"] = ranking.accuracy(logits, labels[1], top)
    return scores


def _label_chance(
    labels: tuple[np.ndarray, np.ndarray], classes: int, measures: list[str]
) -> dict[str, float]:
    """Accuracy of naming the most frequent training classes, whatever the image."""
    frequent = np.argsort(-np.bincount(labels[0], minlength=classes), kind="stable")
    share = {top: float(np.isin(labels[1], frequent[:top]).mean()) for top in _tops(classes)}
    return {measure: share[int(measure.rpartition("top")[2])] for measure in measures}


def _caption_scores(
    search: _Search,
    rows: list[np.ndarray],
    captions: tuple[np.ndarray, np.ndarray],
    meta: dict[str, Any],
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Figures of the embedding that need caption vectors, and their chance."""
    train, val = search.features(rows)
    _, found = search.nearest(rows)
    cosine, random_cosine = caption_neighbours.caption_cosine(found, *captions)
    recall, distinct = caption_retrieval.caption_recall(
        train, captions[0], val, captions[1], seed=meta["seed"]
    )
    # A ratio to nearly nothing says nothing; centred vectors have such a mean.
    ratio = cosine / random_cosine if random_cosine > 0.01 else None
    scores = {"caption_cosine": cosine, "caption_cosine_ratio": ratio}
    chance = {"caption_cosine": random_cosine}
    chance["caption_cosine_ratio"] = None if ratio is None else 1.0
    for k, value in recall.items():
        scores[f"recall_at_{k}"] = value
        chance[f"recall_at_{k}"] = min(1.0, k / distinct)
    return scores, chance


def _captioned(part: Features) -> np.ndarray:
    if part.captions is None:
        return np.zeros(len(part.labels), bool)
    return part.captions.any(axis=1)


def _tops(classes: int) -> tuple[int, ...]:
    return (1, 5) if classes > 5 else (1,)


def _probes(probes: Sequence[str] | None, dataset: Dataset) -> tuple[str, ...]:
    """The probes to run; checked before anything is computed."""
    for probe in probes or ():
        if probe not in PROBES:
            raise InputError(f"probes: unknown probe {probe!r}; {suggest(probe, PROBES)}")
    if probes and not dataset.class_names:
        available = "RankMe"
        if dataset.encoders:
            available = f"KL, caption cosine of neighbours, caption recall and {available}"
        raise InputError(
            f"probes: {' and '.join(probes)} need labels, and {dataset.directory} has none; "
            f"without probes it is measured by {available}"
        )
    if probes is None:
        return PROBES if dataset.class_names else ()
    return tuple(dict.fromkeys(probes))


def _image_size(encoder: keras.Model | Embed, image_size: int | None) -> int:
    """The side of the images; the encoder's own where it is fixed and none is given."""
    own = image_shape(encoder)[0]
    size = image_size or own
    if size is None:
        raise InputError(
            "image_size: expected the side of the images, received none, and the encoder takes any"
        )
    if size < 1 or own not in (None, size):
        raise InputError(f"image_size: expected {own or 'a side > 0'}, received {size}")
    return size
