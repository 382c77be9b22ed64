"""NumPy arrays."""

import numpy as np


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Divides each row by its length.

    Args:
        rows: Floats `[..., D]`.

    Returns:
        Rows of length 1, of the same shape and dtype. A row of zeros stays zero; a row with NaN or
        infinity stays not finite.

    Example:
        >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
        array([[0.6, 0.8],
               [0. , 0. ]])
    """
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)
