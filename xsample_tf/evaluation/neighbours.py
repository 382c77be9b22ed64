"""Nearest neighbours by cosine."""

import numpy as np
import tensorflow as tf

from xsample_tf.arrays import unit_rows

NEIGHBOURS = 20
_QUERY_TILE = 4096


def nearest(
    gallery: np.ndarray,
    queries: np.ndarray,
    k: int,
    exclude_self: bool = False,
    tile: int = 8192,
) -> tuple[np.ndarray, np.ndarray]:
    """The k most similar gallery rows of each query, most similar first.

    Only a tile of the similarity matrix exists at a time, so 1.28 million x 50,000 fits.

    Args:
        gallery: Float `[N, D]`.
        queries: Float `[Q, D]`.
        k: How many; at most N (N - 1 with `exclude_self`).
        exclude_self: The queries are the gallery, and a row is not its own neighbour.
        tile: Gallery rows at a time.

    Returns:
        Cosines float32 `[Q, k]` and gallery rows int32 `[Q, k]`; of equal cosines the first row.

    Example:
        >>> cosine, row = nearest(train_features, val_features, k=20)
    """
    count = len(queries)
    cosines = np.full((count, k), -np.inf, np.float32)
    rows = np.full((count, k), -1, np.int32)
    queries = unit_rows(np.asarray(queries, np.float32))
    for first in range(0, len(gallery), tile):
        columns = unit_rows(np.asarray(gallery[first : first + tile], np.float32))
        for start in range(0, count, _QUERY_TILE):
            part = slice(start, start + _QUERY_TILE)
            cosines[part], rows[part] = _merge(
                tf.constant(cosines[part]),
                tf.constant(rows[part]),
                tf.constant(queries[part]),
                tf.constant(columns),
                tf.constant(start if exclude_self else -count),
                tf.constant(first),
            )
    return cosines, rows


@tf.function(reduce_retracing=True)
def _merge(
    cosines: tf.Tensor,
    rows: tf.Tensor,
    queries: tf.Tensor,
    columns: tf.Tensor,
    own: tf.Tensor,
    first: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Merges a tile, gallery rows `first`.., into the best so far; `own`: row of queries[0]."""
    k = tf.shape(cosines)[1]
    similarity = tf.matmul(queries, columns, transpose_b=True)
    candidates = first + tf.range(tf.shape(columns)[0])
    itself = own + tf.range(tf.shape(queries)[0])
    similarity = tf.where(itself[:, None] == candidates[None, :], -np.inf, similarity)
    best, column = tf.math.top_k(similarity, tf.minimum(k, tf.shape(columns)[0]))
    both = tf.concat([cosines, best], axis=1)
    # top_k prefers the first of equals, and earlier tiles stand first.
    merged, place = tf.math.top_k(both, k)
    known = tf.concat([rows, tf.gather(candidates, column)], axis=1)
    return merged, tf.gather(known, place, axis=1, batch_dims=1)
