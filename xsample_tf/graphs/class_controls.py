"""Controls of the class graph: its table without its meaning."""

from typing import Any

import keras
import numpy as np

from xsample_tf.graphs.base import GraphData, register
from xsample_tf.graphs.label import ClassGraph


class _TableControl(ClassGraph):
    """A class graph whose table is another one's, drawn anew."""

    of_captions = False

    def __init__(self, table: Any, seed: int = 0, one_hot: bool = False):
        super().__init__(table, one_hot)
        self.seed = int(seed)
        self._given = self.table
        # Of frozen streams: later versions of NumPy draw the same.
        source = np.random.PCG64(self.seed & (2**64 - 1))
        self.table = self._drawn(self.table, np.random.RandomState(source))

    @classmethod
    def from_data(cls, data: GraphData) -> "_TableControl":
        """Takes the table of the class graph."""
        return cls(data.graph("class").table, data.seed)

    def _drawn(self, table: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"table": self._given.tolist(), "seed": self.seed, "one_hot": self.one_hot}


@register("random_class")
@keras.saving.register_keras_serializable("xsample_tf")
class RandomClassGraph(_TableControl):
    """Control: the class graph's similarities, dealt to the pairs of classes at random.

    The histogram over pairs of different classes stays; which classes are near does not, nor that
    two classes that are near to a third one are near to each other.

    Side information: labels `[B]`, as for `ClassGraph`.

    Args:
        table: `[C, C]`, the table whose entries are dealt.
        seed: Of the deal, 64 bits. Defaults to 0.
        one_hot: As for `LabelGraph`. Defaults to False.

    Raises:
        InputError: As for `ClassGraph`.

    Example:
        >>> RandomClassGraph([[1, 0.1, 0.2], [0.1, 1, 0.3], [0.2, 0.3, 1]], seed=1).table
    """

    def _drawn(self, table: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        pairs = np.triu_indices(len(table), 1)
        result = np.diag(np.diag(table))
        result[pairs] = random.permutation(table[pairs])
        result.T[pairs] = result[pairs]
        return result


@register("shuffled_class")
@keras.saving.register_keras_serializable("xsample_tf")
class ShuffledClassGraph(_TableControl):
    """Control: the class graph with the classes' names exchanged.

    The table is permuted over classes: its histogram and its whole structure stay, and only which
    class stands where is lost.

    Side information: labels `[B]`, as for `ClassGraph`.

    Args:
        table: `[C, C]`, the table that is permuted.
        seed: Of the permutation, 64 bits. Defaults to 0.
        one_hot: As for `LabelGraph`. Defaults to False.

    Raises:
        InputError: As for `ClassGraph`.

    Example:
        >>> ShuffledClassGraph([[1, 0.1, 0.2], [0.1, 1, 0.3], [0.2, 0.3, 1]], seed=1).table
    """

    def _drawn(self, table: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        order = random.permutation(len(table))
        return table[np.ix_(order, order)]
