"""Microbatches against the whole batch, and what XLA compiles on several replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.strategies import mirrored

from xsample_tf.errors import InputError
from xsample_tf.losses import XSampleContrastiveLoss
from xsample_tf.models import XSampleModel, microbatching, synchronize_batch_norm

BATCH = 8


def build(*, norm=False, dropout=0.0, microbatch_size=None, policy="float32", last=(), **arguments):
    """A model with a regulariser and an unused weight, under the strategy in force."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    try:
        layers = [keras.layers.Conv2D(6, 3, kernel_regularizer=keras.regularizers.L2(0.05))]
        layers += [keras.layers.BatchNormalization()] if norm else []
        layers += [keras.layers.ReLU(), keras.layers.Dropout(dropout, seed=3)]
        layers += [keras.layers.GlobalAveragePooling2D(), *last]
        encoder = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        projector = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
        model = XSampleModel(encoder, projector, microbatch_size)
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        model.compile(optimizer, XSampleContrastiveLoss(), **arguments)
    finally:
        keras.config.set_dtype_policy("float32")
    return model


def dataset(steps=3):
    random = np.random.default_rng(1)
    rows = BATCH * steps
    views = random.uniform(size=(rows, 2, 8, 8, 3)).astype(np.float32)
    side = {"embedding": random.normal(size=(rows, 5)).astype(np.float32)}
    weight = random.uniform(0.1, 3, size=rows).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices((views, side, weight))
    return data.batch(BATCH, drop_remainder=True)


def train(strategy=None, steps=3, **settings):
    """Changes of all weights, what was shown, and what `evaluate` then shows."""
    with (strategy or tf.distribute.get_strategy()).scope():
        model = build(**settings)
    before = [np.array(weight) for weight in model.weights]
    history = model.fit(dataset(steps), verbose=0).history
    changes = [np.ravel(two - one) for one, two in zip(before, model.weights, strict=True)]
    scores = model.evaluate(dataset(1), return_dict=True, verbose=0)
    shown = [*(values[0] for values in history.values()), *scores.values()]
    return np.concatenate(changes), shown, model


@pytest.fixture(scope="module")
def whole():
    return train()


@pytest.mark.parametrize(
    "replicas, settings",
    [
        (1, {"microbatch_size": 2}),
        (1, {"microbatch_size": 1}),
        (1, {"microbatch_size": BATCH}),
        (1, {"microbatch_size": 4, "run_eagerly": True}),
        (1, {"microbatch_size": 2, "jit_compile": True}),
        (2, {"microbatch_size": 2}),
        (2, {"microbatch_size": 2, "jit_compile": True}),
        (2, {"jit_compile": True}),
    ],
)
def test_microbatches_and_compiled_encoders_take_the_step_of_the_whole_batch(
    whole, replicas, settings
):
    ours = train(mirrored(replicas) if replicas > 1 else None, **settings)
    assert np.linalg.norm(ours[0] - whole[0]) <= 1e-5 * np.linalg.norm(whole[0])
    np.testing.assert_allclose(ours[1], whole[1], rtol=1e-5, atol=1e-5)
    if replicas > 1:
        assert ours[2].encoder_is_compiled == ("jit_compile" in settings)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_microbatches_in_half_precision_are_as_near_to_float32_as_the_whole_batch(whole, policy):
    ours, half = (train(policy=policy, microbatch_size=size) for size in (2, None))
    error = np.linalg.norm(half[0] - whole[0])
    assert 0 < error < 0.1 * np.linalg.norm(whole[0])
    assert np.linalg.norm(ours[0] - whole[0]) <= 2 * error


@pytest.mark.parametrize("replicas", [1, 2])
def test_both_passes_of_a_microbatch_draw_the_same_numbers(replicas):
    """With dropout, microbatches of all images at once are the whole batch, twice in a row."""
    strategy = mirrored(replicas)
    with strategy.scope():
        model = build(dropout=0.5)
    seeds = [v for v in model.encoder.non_trainable_variables if "seed" in v.path]
    assert len(seeds) == 1
    seen = []

    def step(views):
        weights, states = (
            [tf.convert_to_tensor(v) for v in role]
            for role in (model.trainable_variables, model.encoder.non_trainable_variables)
        )

        def encode(weights, states, views):
            result = model._encode(weights, [], states, views, True)
            tf.py_function(lambda x: seen.append(x.numpy()), [result[0]], [])
            return result

        _, _, backward = microbatching.microbatched(encode, weights, states, views, 2)
        return backward(tf.ones([4, 2, 4]), tf.constant(0.0))[1][0]

    views = next(iter(dataset(1)))[0][:4]
    moved = tf.function(lambda: strategy.run(step, args=(views,)), autograph=False)()
    seen = np.array(seen).reshape([2, -1, *np.shape(seen)[1:]])
    first, second = (np.sort(np.ravel(each)) for each in seen)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(seen[0][0], seen[0][1])
    # The state goes on once for each microbatch, as it would in two batches.
    state = strategy.experimental_local_results(moved)[0]
    np.testing.assert_array_equal(state - seeds[0].numpy(), [0, 2])


def test_batch_norm_moves_its_averages_in_the_second_pass_only():
    model = build(norm=True, microbatch_size=4)
    views = next(iter(dataset(1)))[0]
    mean = np.array(model.encoder.layers[1].moving_mean)
    for part in np.split(np.array(views), 2):
        outputs = model.encoder.layers[0](part.reshape(-1, 8, 8, 3))
        mean = 0.99 * mean + 0.01 * np.mean(outputs, axis=(0, 1, 2))
    model.fit(dataset(1), verbose=0)
    np.testing.assert_allclose(model.encoder.layers[1].moving_mean, mean, rtol=1e-5)


@pytest.mark.slow  # Traced for each replica and microbatch.
def test_synchronised_batch_norm_in_microbatches_on_replicas():
    def run(**settings):
        with mirrored(2).scope():
            model = build(norm=True, **settings)
            synchronize_batch_norm(model.encoder)
        model.fit(dataset(1), verbose=0)
        return model

    whole, one, xla = run(), run(microbatch_size=4), run(jit_compile=True)
    assert not xla.encoder_is_compiled
    for other in (one, xla):
        for ours, expected in zip(other.weights, whole.weights, strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
    # Halves of each replica's share: the same images as in this order on one device.
    parts = run(microbatch_size=2)
    alone = build(norm=True, microbatch_size=4)
    order = [0, 1, 4, 5, 2, 3, 6, 7]
    data = dataset(1).map(lambda *x: tf.nest.map_structure(lambda y: tf.gather(y, order), x))
    alone.fit(data, verbose=0)
    for ours, expected in zip(parts.weights, alone.weights, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


def test_frozen_parts_and_unused_weights_stay_as_they_are():
    class Unused(keras.layers.Layer):
        def build(self, shape):
            self.extra = self.add_weight(shape=(3, 3), initializer="ones", name="kernel")

        def call(self, x):
            return x

    for size in (None, 2):
        model = build(microbatch_size=size, norm=True, last=[Unused()])
        model.encoder.layers[0].trainable = False
        model.compile(keras.optimizers.AdamW(0.1, weight_decay=0.5), XSampleContrastiveLoss())
        before = [np.array(model.encoder.layers[i].weights[0]) for i in (0, -1)]
        model.fit(dataset(1), verbose=0)
        after = [np.array(model.encoder.layers[i].weights[0]) for i in (0, -1)]
        for one, two in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, two)


class Drawing(keras.layers.Layer):
    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def call(self, x):
        return x + self.draw(x)


def test_what_cannot_work_is_one_line():
    with pytest.raises(InputError, match="divisor of the 8 images of a replica, received 3"):
        build(microbatch_size=3).fit(dataset(1), verbose=0)
    with pytest.raises(InputError, match="microbatch_size: .* received 0"):
        build(microbatch_size=0)
    frozen = build(last=[Drawing(lambda _: keras.random.normal([1]))])
    with pytest.raises(InputError, match="a variable of none of them; .*SeedGenerator"):
        frozen.fit(dataset(1), verbose=0)
    other = build(last=[Drawing(lambda _: tf.random.normal([1]))], microbatch_size=2)
    with pytest.raises(InputError, match="received RandomStandardNormal"):
        other.fit(dataset(1), verbose=0)
    with pytest.raises(InputError, match="divisor of the 4 images"):
        train(mirrored(2), microbatch_size=3)


@pytest.mark.parametrize("replicas", [1, 2])
def test_an_operation_without_an_xla_kernel_is_named(replicas):
    def draw(x):
        return tf.strings.to_number(tf.strings.as_string(tf.stop_gradient(x)))

    with (mirrored(2) if replicas > 1 else tf.distribute.get_strategy()).scope():
        model = build(last=[Drawing(draw)], jit_compile=True)
    with pytest.raises(InputError, match="received AsString.*--xla=off") as error:
        model.fit(dataset(1), verbose=0)
    assert "\n" not in str(error.value)
