"""Effective rank of embeddings (RankMe)."""

import numpy as np

from xsample_tf.evaluation.measures.base import MEASURES, Measure
from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.splits import Splits

_TILE = 4096


@MEASURES.register("rankme")
class EffectiveRank(Measure):
    """Effective rank of the embeddings; a collapse shows as a rank near 1."""

    figures = (Figure("rankme", "effective rank (RankMe)", "{:.1f}", brief="rank"),)

    def run(self, features: Splits) -> dict[str, Score]:
        """Returns the rank, which has no chance level and is no mean over images."""
        return {"rankme": Score(rankme(features.val.embeddings))}


def rankme(features: np.ndarray) -> float:
    """Effective rank of the embeddings: exp of the entropy of their singular values.

    RankMe (arXiv 2210.02885, equation 1): p_k = sigma_k / sum sigma of the matrix as it is, neither
    centred nor normalised. Between 1, when all embeddings lie on one line, and min(N, D).

    Args:
        features: Float `[N, D]`; at least a few times D images for a steady figure.
    """
    sigma = singular_values(features)
    if not sigma.any():
        return 1.0
    share = sigma / sigma.sum()
    share = share[share > 0]
    return float(np.exp(-np.sum(share * np.log(share))))


def singular_values(features: np.ndarray) -> np.ndarray:
    """Returns the singular values of features `[N, D]`, float64 `[min(N, D)]` in rising order."""
    features = np.asarray(features, np.float32)
    gram = features if len(features) < features.shape[1] else features.T
    second = np.zeros((len(gram), len(gram)))
    for first in range(0, gram.shape[1], _TILE):
        tile = gram[:, first : first + _TILE].astype(np.float64)
        second += tile @ tile.T
    return np.sqrt(np.maximum(np.linalg.eigvalsh(second), 0))
