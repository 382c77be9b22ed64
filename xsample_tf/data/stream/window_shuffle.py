"""The order of the stream: which record stands at which place of which epoch.

An epoch lines the shards up in a random order and begins somewhere in that line, which it walks
once around. The line is cut into windows of equal length, and the records of a window are permuted
among each other. Every window begins with a batch, so where step s lies is arithmetic.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from xsample_tf.data.stream.range_reader import read_ranges
from xsample_tf.data.stream.shard_reader import Shards

_SHARD_ORDER, _TURN, _RECORD_ORDER, _STREAMS = range(4)


@dataclasses.dataclass(frozen=True)
class ShuffleOrder:
    """The order of records under a seed.

    Attributes:
        shards: The records.
        batch_size: B.
        seed: Any whole number of 64 bits.
        shuffle_window: Records that are permuted among each other, at least; rounded up to batches.
    """

    shards: Shards
    batch_size: int
    seed: int
    shuffle_window: int

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.shards.steps(self.batch_size)

    @property
    def window_steps(self) -> int:
        """Steps in a window, except an epoch's last."""
        return min(math.ceil(self.shuffle_window / self.batch_size), self.steps)

    @property
    def windows(self) -> int:
        """Windows in an epoch."""
        return math.ceil(self.steps / self.window_steps)

    def open(self, start_step: int, repeat: bool) -> tf.data.Dataset:
        """The windows from that with `start_step` on, to the end of its epoch or without end.

        Returns:
            A dataset of `images` string `[n]` and `vectors` string `[n, 2]`, a window's records;
            `order` int64 `[m]`, which of them stand at the window's places, full batches;
            `start` int64, the first place that is wanted; `first` int64, the first place's number
            in the epoch; `seeds` int32 `[3]`, the epoch's, one for each purpose.
        """
        epoch, step = divmod(start_step, self.steps)
        first = epoch * self.windows + step // self.window_steps
        start = step % self.window_steps * self.batch_size
        last = tf.int64.max if repeat else (epoch + 1) * self.windows

        def window(number: tf.Tensor) -> dict[str, tf.Tensor]:
            skipped = tf.where(number == first, tf.constant(start, tf.int64), 0)
            return self._window(number // self.windows, number % self.windows) | {"start": skipped}

        return tf.data.Dataset.range(first, last).map(window)

    def _window(self, epoch: tf.Tensor, window: tf.Tensor) -> dict[str, tf.Tensor]:
        epoch_seed = fold_in(_seed_of(self.seed), epoch)
        length = self.window_steps * self.batch_size
        begin = window * length
        is_last = window == self.windows - 1
        # The last window takes the rest that fills no batch too: chance decides what is left out.
        end = tf.where(is_last, tf.constant(self.shards.total, tf.int64), begin + length)
        places = tf.minimum(end, self.steps * self.batch_size) - begin
        parts = read_ranges(self.shards, *self._ranges(epoch_seed, begin, end))
        images, vectors = parts.batch(end - begin).get_single_element()
        order_seed = fold_in(fold_in(epoch_seed, _RECORD_ORDER), window)
        return {
            "images": images,
            "vectors": vectors,
            "order": _permutation(end - begin, order_seed)[:places],
            "first": begin,
            "seeds": tf.random.stateless_uniform(
                [3], fold_in(epoch_seed, _STREAMS), None, None, tf.int32
            ),
        }

    def _ranges(self, epoch_seed: tf.Tensor, begin: tf.Tensor, end: tf.Tensor) -> list[tf.Tensor]:
        """Shards, and begins and ends within them, of places `begin` to `end` of an epoch."""
        counts = tf.constant(self.shards.counts, tf.int64)
        order = _permutation(tf.size(counts), fold_in(epoch_seed, _SHARD_ORDER))
        # Twice around, so that what begins anywhere in the first round ends in the second.
        order = tf.concat([order, order], axis=0)
        counts = tf.gather(counts, order)
        before = tf.cumsum(counts, exclusive=True)
        turn = tf.random.stateless_uniform(
            [], fold_in(epoch_seed, _TURN), 0, self.shards.total, tf.int64
        )
        begins = tf.clip_by_value(begin + turn - before, 0, counts)
        ends = tf.clip_by_value(end + turn - before, 0, counts)
        return [tf.boolean_mask(part, begins < ends) for part in (order, begins, ends)]


def _seed_of(number: int) -> tf.Tensor:
    """Returns the 64 bits of a whole number as a seed int32 `[2]`, the lower half first."""
    low, high = number & 0xFFFFFFFF, (number >> 32) & 0xFFFFFFFF
    return tf.constant(np.array([low, high], np.uint32).view(np.int32))


def fold_in(seed: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
    """Another seed int32 `[2]`, for each number below 2^31."""
    return tf.random.fold_in(seed, tf.cast(number, tf.int32))


def _permutation(length: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """The numbers below `length` in random order, int64."""
    keys = tf.random.stateless_uniform(tf.reshape(length, [1]), seed, None, None, tf.int64)
    return tf.cast(tf.argsort(keys, stable=True), tf.int64)
