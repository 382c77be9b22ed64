"""Effective rank of embeddings (RankMe)."""

import numpy as np

_TILE = 4096


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
