"""Measures of an image embedding that need captions, or nothing, but no labels."""

import numpy as np

from xsample_tf import graphs, losses
from xsample_tf.evaluation import linear_algebra
from xsample_tf.evaluation.neighbours import unit_rows

DIVERGENCE_BATCH = 256
# Shares of the features' mean variance.
RIDGE_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_TILE = 4096


def graph_divergence(
    features: np.ndarray,
    captions: np.ndarray,
    temperature: float = 0.1,
    target_temperature: float = 0.1,
    batch: int = DIVERGENCE_BATCH,
) -> tuple[float, float]:
    """KL(s || p) between the caption graph and the embedding graph (arXiv 2407.18134, section 3).

    The X-CLR loss minus its target's entropy, of one view an image, with the images taken in order
    in batches of one size: the number of candidates is part of the measure. A last, short batch is
    filled up with images before it, which are not counted again.

    Args:
        features: Float `[N, D]`, N >= 2; only directions count.
        captions: Caption vectors, float `[N, T]`.
        temperature: tau of the embedding graph p.
        target_temperature: tau_s of the caption graph s.
        batch: Images in a batch, at most N of them.

    Returns:
        Mean KL in nats, and the mean KL of an embedding that relates all images alike.

    Example:
        >>> kl, uniform = graph_divergence(encoder(images), caption_vectors)
    """
    count = len(features)
    batch = min(batch, count)
    divergence, uniform = np.empty(count), np.empty(count)
    graph = graphs.CosineGraph()
    for first in range(0, count, batch):
        start = min(first, count - batch)
        part = slice(start, start + batch)
        loss, statistics = losses.contrastive_rows(
            np.asarray(features[part, None], np.float32),
            np.asarray(captions[part], np.float32),
            graph,
            temperature,
            target_temperature,
        )
        new = slice(first - start, None)
        entropy = statistics["target_entropy"].numpy()[new]
        divergence[first : first + batch] = loss.numpy()[new] - entropy
        uniform[first : first + batch] = np.log(batch - 1) - entropy
    return float(np.mean(divergence)), float(np.mean(uniform))


def caption_cosine(
    neighbours: np.ndarray, gallery_captions: np.ndarray, captions: np.ndarray
) -> tuple[float, float]:
    """Mean caption cosine between images and their neighbours, and between all pairs.

    Args:
        neighbours: Int `[Q, k]`, gallery rows of each image's nearest images.
        gallery_captions: Caption vectors of the gallery, `[N, T]`.
        captions: Caption vectors of the images, `[Q, T]`.

    Returns:
        Mean over neighbours, and what k random gallery images would give (the exact expectation).
        An encoder that groups images as their captions do has the first well above the second.
    """
    gallery_captions, captions = unit_rows(gallery_captions), unit_rows(captions)
    chance = np.mean(captions, axis=0, dtype=float) @ np.mean(gallery_captions, axis=0, dtype=float)
    cosines = [np.einsum("qt,qt->q", captions, gallery_captions[column]) for column in neighbours.T]
    return float(np.mean(cosines)), float(chance)


def caption_recall(
    train_features: np.ndarray,
    train_captions: np.ndarray,
    features: np.ndarray,
    captions: np.ndarray,
    ranks: tuple[int, ...] = (1, 5, 10),
    seed: int = 0,
) -> tuple[dict[int, float], int]:
    """Image to caption recall@k of a linear map from image features to caption vectors.

    Ridge regression on the training images, its penalty chosen on a held-out tenth of them by
    squared error. Each image then ranks the distinct caption vectors of the evaluated images by
    cosine with its prediction, both taken from the mean training caption. Equal vectors, as class
    names give them, count as one; a tie counts against the image.

    Args:
        train_features: `[M, D]`.
        train_captions: `[M, T]`.
        features: `[N, D]`.
        captions: `[N, T]`.
        ranks: The values of k.
        seed: Of the held-out tenth.

    Returns:
        Recall by k, in [0, 1], and the number of distinct captions U; chance is k / U.
    """
    standardize = linear_algebra.standardization(train_features)
    train_captions, captions = unit_rows(train_captions), unit_rows(captions)
    caption_mean = np.mean(train_captions, axis=0)
    weights = _ridge(train_features, train_captions - caption_mean, standardize, seed)
    predicted = unit_rows(standardize(features) @ weights)
    gallery, own = np.unique(captions, axis=0, return_inverse=True)
    gallery = unit_rows(gallery - caption_mean)
    rank = np.empty(len(features), np.int64)
    for first in range(0, len(features), _TILE):
        cosines = predicted[first : first + _TILE] @ gallery.T
        right = np.take_along_axis(cosines, own[first : first + _TILE, None], axis=1)
        rank[first : first + _TILE] = np.sum(cosines >= right, axis=1)
    return {k: float(np.mean(rank <= k)) for k in ranks}, len(gallery)


def _ridge(
    features: np.ndarray,
    targets: np.ndarray,
    standardize: linear_algebra.Standardization,
    seed: int,
) -> np.ndarray:
    """Weights float32 `[D, T]` from standardised features to centred targets `[M, T]`."""
    order = np.random.default_rng(seed).permutation(len(features))
    held, kept = np.split(order, [max(1, len(order) // 10)])
    second, cross = linear_algebra.moments(features, targets, kept, standardize)
    held_features = standardize(features[held])
    errors = []
    for penalty in RIDGE_PENALTIES:
        weights = _solve_ridge(second, cross, penalty)
        errors.append(np.mean((held_features @ weights - targets[held]) ** 2))
    best = RIDGE_PENALTIES[int(np.argmin(errors))]
    second, cross = linear_algebra.moments(features, targets, order, standardize)
    return _solve_ridge(second, cross, best)


def _solve_ridge(second: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    size = len(second)
    # The floor keeps features that are all constant solvable.
    diagonal = penalty * max(np.trace(second) / size, 1e-12) * np.eye(size)
    return np.linalg.solve(second + diagonal, cross).astype(np.float32)


def rankme(features: np.ndarray) -> float:
    """Effective rank of the embeddings: exp of the entropy of their singular values.

    RankMe (arXiv 2210.02885, equation 1): p_k = sigma_k / sum sigma of the matrix as it is, neither
    centred nor normalised. Between 1, when all embeddings lie on one line, and min(N, D).

    Args:
        features: Float `[N, D]`; at least a few times D images for a steady figure.
    """
    features = np.asarray(features, np.float32)
    gram = features if len(features) < features.shape[1] else features.T
    second = np.zeros((len(gram), len(gram)))
    for first in range(0, gram.shape[1], _TILE):
        tile = gram[:, first : first + _TILE].astype(np.float64)
        second += tile @ tile.T
    sigma = np.sqrt(np.maximum(np.linalg.eigvalsh(second), 0))
    if not sigma.any():
        return 1.0
    share = sigma / sigma.sum()
    share = share[share > 0]
    return float(np.exp(-np.sum(share * np.log(share))))
