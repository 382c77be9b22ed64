"""The text tower: CLIP's shape and initial weights, and what a token sees."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from xsample_tf import models
from xsample_tf.errors import InputError

TOKENS = np.array([[2, 5, 6, 3, 0, 0, 0, 0], [2, 9, 3, 0, 0, 0, 0, 0]], np.int32)


def tower(**changes):
    keras.utils.set_random_seed(0)
    shape = {"length": 8, "width": 16, "layers": 2, "heads": 4}
    return models.text_tower(20, **shape | changes)


def test_it_has_clip_s_weights():
    keras.utils.set_random_seed(0)
    width, layers = 64, 3
    made = models.text_tower(500, 40, width, layers, 4)
    tokens, places = 500 * width, 40 * width
    block = 3 * width**2 + 3 * width + width**2 + width + 8 * width**2 + 5 * width + 4 * width
    assert made.count_params() == tokens + places + layers * block + 2 * width
    deviations = {weight.path: float(np.std(weight)) for weight in made.weights}
    into_stream = width**-0.5 * (2 * layers) ** -0.5
    expected = {
        "token_table/embeddings": 0.02,
        "position_table/embeddings": 0.01,
        "layer_0_qkv/kernel": width**-0.5,
        "layer_1_attended/kernel": into_stream,
        "layer_1_wide/kernel": (2 * width) ** -0.5,
        "layer_2_narrow/kernel": into_stream,
    }
    for path, deviation in expected.items():
        assert deviations[path] == pytest.approx(deviation, rel=0.1), path
    # No two layers begin alike.
    first, second = (made.get_layer(f"layer_{n}_qkv").kernel.numpy() for n in (0, 1))
    assert not np.allclose(first, second)


def test_the_vector_is_the_end_token_s_and_padding_changes_nothing():
    short, long = tower(), tower(length=12)
    for one, two in zip(short.weights, long.weights, strict=True):
        more = two.numpy()[one.shape[0] :] if one.shape != two.shape else one.numpy()[:0]
        two.assign(np.concatenate([one.numpy(), more]))
    padded = np.pad(TOKENS, [[0, 0], [0, 4]])
    np.testing.assert_allclose(short(TOKENS), long(padded), atol=1e-6)
    # Causal: what stands behind the end token is not seen, all before it is.
    behind, before = TOKENS.copy(), TOKENS.copy()
    before[0, 1] = 7
    vectors = short(TOKENS).numpy()
    assert np.abs(short(before).numpy() - vectors)[0].max() > 1e-3
    np.testing.assert_array_equal(short(before)[1], vectors[1])
    behind[0, 4] = 3  # A token more: another end.
    assert np.abs(short(behind).numpy() - vectors)[0].max() > 1e-3


def test_it_is_saved_compiled_and_computes_in_half_precision(tmp_path):
    made = tower()
    expected = made(TOKENS)
    made.save(tmp_path / "tower.keras")
    again = keras.saving.load_model(tmp_path / "tower.keras")
    np.testing.assert_array_equal(again(TOKENS), expected)
    compiled = tf.function(made, jit_compile=True)(tf.constant(TOKENS))
    np.testing.assert_allclose(compiled, expected, atol=1e-5)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = tower()
    finally:
        keras.config.set_dtype_policy("float32")
    assert half.get_layer("layer_0_qkv").compute_dtype == "bfloat16"
    assert half(TOKENS).dtype == tf.float32
    np.testing.assert_allclose(half(TOKENS), expected, atol=0.1)


@pytest.mark.parametrize(
    "changes, words",
    [({"layers": 0}, "layers from 1"), ({"heads": 3}, "text_width: expected a multiple of the 3")],
)
def test_shapes_that_cannot_be_are_named(changes, words):
    with pytest.raises(InputError, match=words):
        tower(**changes)
