"""Layers that are frozen, and how deep a layer lies."""

import keras
import numpy as np
import pytest
from helpers import door

from xsample_tf.errors import InputError
from xsample_tf.losses import XSampleContrastiveLoss
from xsample_tf.models import XSampleModel
from xsample_tf.models.networks.fine_tuning import block_depths, freeze


def encoder():
    images = keras.Input((4, 4, 3))
    x = images
    for name in ("stem", "stage_block1", "stage_block2", "head"):
        for part in ("a", "b") if "block" in name else ("",):
            x = keras.layers.Conv2D(4, 3, padding="same", name=f"{name}{part and '_'}{part}")(x)
            x = keras.layers.BatchNormalization(name=f"{name}{part and '_'}{part}_norm")(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


def checksum(layer):
    return [np.array(weight).tobytes() for weight in layer.weights]


@pytest.mark.parametrize("microbatch_size", [None, 2])
def test_frozen_layers_do_not_move_and_neither_do_averages_of_batch_norm(microbatch_size):
    model = encoder()
    frozen = freeze(model, r"^stem|block1")
    assert frozen == [
        "stem",
        "stem_norm",
        *(f"stage_block1_{part}" for part in ("a", "a_norm", "b", "b_norm")),
    ]
    before = {layer.name: checksum(layer) for layer in model.layers if layer.weights}
    views, captions = door.arrays()
    trained = XSampleModel(model, microbatch_size=microbatch_size)
    trained.compile(keras.optimizers.SGD(0.1), XSampleContrastiveLoss())
    trained.fit(views, captions, batch_size=4, verbose=0)
    moved = [layer for layer in model.layers if before.get(layer.name) != checksum(layer)]
    moved = [layer.name for layer in moved if layer.weights]
    assert moved == [name for name in before if name not in frozen] and len(moved) == 6


def test_a_container_is_frozen_with_what_is_inside():
    inner = encoder()
    images = keras.Input((4, 4, 3))
    model = keras.Model(images, inner(images))
    assert len(freeze(model, f"^{inner.name}$")) == 12
    assert model.trainable_variables == []


def test_a_pattern_that_finds_nothing_lists_the_layers():
    words = (
        "freeze: .* received 'stages', which is found in none of stem, stem_norm, stage_block1_a"
    )
    with pytest.raises(InputError, match=words):
        freeze(encoder(), "stages")
    with pytest.raises(InputError, match="found in none of"):
        freeze(encoder(), "^input|pooling")  # Layers without weights.


def test_depth_is_by_blocks_from_the_images_on():
    model = encoder()
    depths, firsts = block_depths(model)
    assert firsts == ["stem", "stage_block1_a", "stage_block2_a"]
    found = {variable.path: depths[id(variable)] for variable in model.variables}
    assert found["stem_norm/gamma"] == 0 and found["stage_block1_b_norm/moving_mean"] == 1
    # What stands behind the last block is part of it.
    assert found["stage_block2_a/kernel"] == found["head_norm/beta"] == 2


@pytest.mark.parametrize(
    "names, expected",
    [
        (["conv1_conv", "conv2_block1_1_conv", "conv2_block1_0_conv", "conv2_block2_1_conv"], 3),
        (["stem_conv", "block1a_dwconv", "block2a_expand_conv", "block2b_expand_conv"], 4),
        (["embedding", "encoder_block_0", "encoder_block_1", "norm"], 3),
        (["stem", "stage_0_block_0_conv", "downsampling_block_0", "stage_1_block_0_conv"], 4),
        (["conv", "other", "third"], 3),
    ],
)
def test_names_of_blocks_are_those_that_networks_have(names, expected):
    images = keras.Input((3,))
    x = images
    for name in names:
        x = keras.layers.Dense(3, name=name)(x)
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
    depths, firsts = block_depths(keras.Model(images, x))
    assert len(firsts) == expected and max(depths.values()) == expected - 1
