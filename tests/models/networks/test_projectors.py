"""Projection heads against a forward pass written out in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from xsample_tf import models
from xsample_tf.errors import InputError


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_computes_dense_norm_relu_and_a_last_dense(layers):
    model = models.projector(5, hidden_dim=7, output_dim=3, layers=layers)
    generator = np.random.default_rng(0)
    model.set_weights([generator.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    x = generator.normal(size=(4, 5))
    weights = iter(np.asarray(w, np.float64) for w in model.get_weights())
    expected = x
    for _ in range(layers - 1):
        kernel, gamma, beta, mean, variance = (next(weights) for _ in range(5))
        normalized = (expected @ kernel - mean) / np.sqrt(variance + 1e-5) * gamma + beta
        expected = np.maximum(normalized, 0)
    expected = expected @ next(weights) + next(weights)
    assert next(weights, None) is None
    np.testing.assert_allclose(model(x.astype(np.float32)), expected, rtol=1e-4, atol=1e-5)


def test_defaults_are_the_papers():
    model = models.projector(2048)
    shapes = [tuple(w.shape) for w in model.trainable_weights]
    assert shapes == [(2048, 2048), (2048,), (2048,), (2048, 128), (128,)]


def test_trains_on_batch_statistics_and_gives_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = models.projector(6, 8, 4)
    finally:
        keras.config.set_dtype_policy("float32")
    x = np.random.default_rng(0).normal(3.0, 2.0, (64, 6)).astype(np.float32)
    before = model(x).numpy()
    for _ in range(50):
        trained = model(x, training=True)
    assert trained.dtype == tf.float32
    assert np.abs(trained - before).max() > 0.1
    np.testing.assert_allclose(model(x), trained, atol=0.1)


@pytest.mark.parametrize("synchronized", [True, False])
def test_replicas_share_batch_statistics_when_asked(synchronized):
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        model = models.projector(4, 3, 2, layers=3, synchronized_batch_norm=synchronized)
    alone = models.projector(4, 3, 2, layers=3)
    alone.set_weights(model.get_weights())
    halves = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(np.split(x, 2)[context.replica_id_in_sync_group])
    )
    outputs = tf.function(lambda part: strategy.run(model, (part,), {"training": True}))(halves)
    together = tf.concat(strategy.experimental_local_results(outputs), 0)
    difference = np.abs(together - alone(x, training=True)).max()
    assert difference < 1e-5 if synchronized else difference > 0.01


def test_saves_and_clones(tmp_path):
    model = models.projector(4, 3, 2)
    model.save(tmp_path / "projector.keras")
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(
        keras.models.load_model(tmp_path / "projector.keras")(x), model(x)
    )
    assert keras.models.clone_model(model)(x).shape == (2, 2)


@pytest.mark.parametrize(
    "arguments",
    [{"input_dim": None}, {"hidden_dim": 0}, {"output_dim": -1}, {"layers": 0}, {"layers": 1.5}],
)
def test_bad_sizes_name_the_argument(arguments):
    (name,) = arguments
    with pytest.raises(InputError, match=f"projector: expected {name} as a whole number from 1"):
        models.projector(**{"input_dim": 4, **arguments})
