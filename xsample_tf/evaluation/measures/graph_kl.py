"""KL divergence between the caption graph and the embedding graph."""

import numpy as np

from xsample_tf import graphs, losses
from xsample_tf.evaluation.measures.base import MEASURES, Measure
from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.splits import Splits

DIVERGENCE_BATCH = 256


@MEASURES.register("kl")
class GraphDivergence(Measure):
    """KL divergence from the caption graph to that of the images, as the loss compares them.

    The metric `kl` of training is another number: of views, to the target of the batch at hand.
    """

    figures = (
        Figure(
            "kl",
            f"KL of the {{kl_of}} to val's captions, {DIVERGENCE_BATCH} images at a time, nats "
            "(lower is better)",
            last=True,
        ),
    )
    needs = ("captions",)

    def run(self, features: Splits) -> dict[str, Score]:
        """Returns the mean KL; chance is that of relating all images alike."""
        settings, val = features.settings, features.val
        divergence, uniform = _divergences(
            val.projections, val.captions, settings.temperature, settings.target_temperature
        )
        value, chance = float(np.mean(divergence)), float(np.mean(uniform))
        return {"kl": Score(value, chance, divergence)}


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
    divergence, uniform = _divergences(features, captions, temperature, target_temperature, batch)
    return float(np.mean(divergence)), float(np.mean(uniform))


def _divergences(
    features: np.ndarray,
    captions: np.ndarray,
    temperature: float,
    target_temperature: float,
    batch: int = DIVERGENCE_BATCH,
) -> tuple[np.ndarray, np.ndarray]:
    """The KL of each image, float64 `[N]`, and that of relating all images alike."""
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
    return divergence, uniform
