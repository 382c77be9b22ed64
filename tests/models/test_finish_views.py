"""Colours changed on the device, against the same policy on the host."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.strategies import mirrored

from xsample_tf import data, losses, models
from xsample_tf.data import views

SIZE, BATCH = 24, 8
POLICY = views.SimCLR(SIZE)


def _images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (BATCH, 40, 30, 3), np.uint8)


def _made(policy) -> tf.data.Dataset:
    """What the policy makes of the images, in one batch, with the graph's side information."""
    vectors = np.random.default_rng(1).normal(size=(BATCH, 5)).astype(np.float32)

    def make(image, number, vector):
        return policy(image, tf.stack([3, number])), {"embedding": vector}

    rows = (_images(), np.arange(BATCH, dtype=np.int32), vectors)
    dataset = tf.data.Dataset.from_tensor_slices(rows).map(make).batch(BATCH, drop_remainder=True)
    options = tf.data.Options()
    options.autotune.enabled = False  # Else an iterator's end may take a minute.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.repeat().with_options(options)


@pytest.mark.slow  # 14 s.
def test_both_halves_are_the_policy():
    whole, _ = next(iter(_made(POLICY)))
    (crops, draws), _ = next(iter(_made(POLICY.crops)))
    assert (crops.dtype, crops.shape) == (tf.uint8, (BATCH, 2, SIZE, SIZE, 3))
    finished = POLICY.finish(crops, draws)
    # Rounding the crops is the only difference; contrast and saturation make it larger.
    assert np.abs(finished - whole).mean() < 1 / 255
    # Without rounding there is none: the host's operations on the rounded crops.
    planes = tf.transpose(tf.cast(crops, tf.float32) / 255, [0, 1, 4, 3, 2])
    expected = [[POLICY._colors(planes[i, v], draws[i, v]) for v in range(2)] for i in range(BATCH)]
    np.testing.assert_allclose(finished, expected, atol=2e-6)
    assert finished.dtype == tf.float32 and 0 <= np.min(finished) <= np.max(finished) <= 1


def test_settings_hold_for_both_halves():
    policy = views.SimCLR(SIZE, views=3, strength=0.0, blur=False)
    whole, _ = next(iter(_made(policy)))
    finished = policy.finish(*next(iter(_made(policy.crops)))[0])
    assert finished.shape == whole.shape
    assert np.abs(finished - whole).mean() < 1 / 255


def _trained(dataset, finish=None, microbatch_size=None, **arguments) -> tuple[float, list]:
    """Loss and weights after two steps."""
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Conv2D(4, 5, strides=3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    model = models.XSampleModel(encoder, None, microbatch_size, finish)
    model.compile(keras.optimizers.SGD(0.5), losses.XSampleContrastiveLoss(), **arguments)
    loss = model.fit(dataset, steps_per_epoch=2, verbose=0).history["loss"][0]
    return loss, [keras.ops.convert_to_numpy(weight) for weight in model.weights]


@pytest.mark.parametrize(
    "arguments", [{}, {"microbatch_size": 2}, {"jit_compile": True}, {"replicas": 2}], ids=str
)
def test_a_step_is_that_of_the_finished_views(arguments):
    """To the rounding of float32: both have the same rounded crops."""
    policy = views.SimCLR(SIZE, strength=0.0, blur=False)  # Which compiles in a moment.
    finished = _made(policy.crops).map(lambda parts, side: (policy.finish(*parts), side))
    expected_loss, expected = _trained(finished)
    replicas = arguments.pop("replicas", 1)
    if replicas == 1:
        loss, weights = _trained(_made(policy.crops), policy.finish, **arguments)
    else:
        with mirrored(replicas).scope():
            loss, weights = _trained(_made(policy.crops), policy.finish)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    for received, wanted in zip(weights, expected, strict=True):
        np.testing.assert_allclose(received, wanted, atol=1e-5)


@pytest.mark.slow  # The stream is traced twice, 13 s.
def test_the_stream_hands_both_parts_over(tmp_path):
    data.prepare("scenes:count=20,size=32", tmp_path, log=lambda line: None)
    whole, _ = next(iter(data.load(tmp_path, "train", 6, POLICY, seed=5)))
    parts, side = next(iter(data.load(tmp_path, "train", 6, POLICY.crops, seed=5)))
    assert side["label"].shape == (6,)
    assert np.abs(POLICY.finish(*parts) - whole).mean() < 1 / 255
