"""Windows to batches: every place is filled, if not by its own record then by a substitute."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from xsample_tf import devices
from xsample_tf.data.stream.window_shuffle import ShuffleOrder
from xsample_tf.tensorflow_errors import marked

# From a record, its caption vectors and the epoch's seeds int32 [2] to what a place holds.
Make = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Any]

ATTEMPTS = 16  # Records that are tried for one place before the data counts as unreadable.
_CHUNK = 32  # At most so many images are made by one call: enough to spread a call's overhead.


def parallel_calls() -> int:
    """Returns how many chunks are made at a time: one for each core that this process may use."""
    return max(devices.cores(), 2)


def make_batches(
    order: ShuffleOrder,
    make: Make,
    start_step: int = 0,
    repeat: bool = True,
    share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Fills the places of an order, in parallel and in order.

    Args:
        order: Which record stands where.
        make: Makes an example of a record; any error of it makes the record a rotten one.
        start_step: The first batch is that of this step.
        repeat: Whether epochs follow each other without end.
        share: Part i of n of each batch, `B / n` rows, with (i, n); the others are not made.

    Returns:
        A dataset of `(example, substituted)`: what `make` returns and bool, each with the rows of
        the share first.
    """
    part, parts = share
    batch_size = order.batch_size // parts
    chunk = max(size for size in range(1, _CHUNK + 1) if batch_size % size == 0)

    def split(window: dict[str, tf.Tensor]) -> tf.data.Dataset:
        places = tf.size(window["order"], tf.int64)
        batches = tf.range(window["start"], places, order.batch_size)[:, None]
        own = tf.range(part * batch_size, (part + 1) * batch_size, chunk, tf.int64)
        starts = tf.data.Dataset.from_tensor_slices(tf.reshape(batches + own, [-1]))
        # The window goes along by reference, as often as it has chunks.
        return starts.map(lambda start: (window, tf.range(start, start + chunk)))

    def join(*chunks: tf.Tensor) -> Any:
        return tf.nest.map_structure(
            lambda x: tf.ensure_shape(
                tf.reshape(x, tf.concat([[batch_size], tf.shape(x)[2:]], axis=0)),
                [batch_size, *x.shape[2:]],
            ),
            chunks,
        )

    return (
        order.open(start_step, repeat)
        .prefetch(1)
        .flat_map(split)
        .map(
            lambda window, places: _fill(order, make, window, places, chunk),
            num_parallel_calls=parallel_calls(),
            deterministic=True,
        )
        .batch(batch_size // chunk, drop_remainder=True)
        .map(join)
    )


def _fill(
    order: ShuffleOrder, make: Make, window: dict[str, tf.Tensor], places: tf.Tensor, chunk: int
) -> Any:
    """The examples at `chunk` places of a window, and whether each is a substitute."""
    seeds = window["seeds"]
    records = tf.size(window["images"], tf.int64)

    def attempt(place: tf.Tensor, number: tf.Tensor) -> Any:
        seed = tf.stack([seeds[2], tf.cast(window["first"] + place, tf.int32)])
        others = tf.random.stateless_uniform([ATTEMPTS], seed, 0, records, tf.int64)
        index = tf.where(number == 0, window["order"][place], others[number])
        example = make(window["images"][index], window["vectors"][index], seeds[:2])
        return example, number > 0

    def first_usable(place: tf.Tensor) -> tf.data.Dataset:
        numbers = tf.data.Dataset.range(ATTEMPTS)
        tried = numbers.map(lambda number: attempt(place, number)).ignore_errors()
        return tried.concatenate(_unusable(order, tried.element_spec)).take(1)

    dataset = tf.data.Dataset.from_tensor_slices(places)
    # Making a dataset for each place costs as much as an image: only where a record is rotten.
    sound = dataset.map(lambda place: attempt(place, tf.constant(0, tf.int64))).ignore_errors()
    sound = sound.batch(chunk, drop_remainder=True)
    mended = dataset.flat_map(first_usable).batch(chunk, drop_remainder=True)
    return sound.concatenate(mended).take(1).get_single_element()


def _unusable(order: ShuffleOrder, spec: Any) -> tf.data.Dataset:
    """A dataset of one element, which fails."""
    message = marked(
        f"expected usable records, but {ATTEMPTS} drawn at random were not: images that cannot be "
        f"decoded, vectors or labels that do not fit; check {order.shards.where}"
    )

    def fail(zero: tf.Tensor) -> Any:
        with tf.control_dependencies([tf.debugging.Assert(zero > 0, [message])]):
            return tf.nest.map_structure(
                lambda part: tf.zeros([side or 0 for side in part.shape], part.dtype), spec
            )

    return tf.data.Dataset.range(1).map(fail)
