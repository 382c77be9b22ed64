"""Learning rates that fall from block to block towards the images."""

import keras
import numpy as np
import pytest

from xsample_tf.errors import InputError
from xsample_tf.training import optimizers
from xsample_tf.training.optimizers.rates import decay_by_layer

DECAY = 0.5
# Of each weight by the blocks behind it: two of the encoder, then the projector.
FACTORS = {"block1": 0.25, "block2": 0.5, "projector": 1.0}


def network():
    images = keras.Input((4,))
    x = images
    for name in ("block1", "block2"):
        x = keras.layers.Dense(4, name=name, bias_initializer="ones")(x)
    encoder = keras.Model(images, x)
    projector = keras.layers.Dense(4, name="projector", bias_initializer="ones")
    projector.build((None, 4))
    return encoder, [*encoder.trainable_variables, *projector.trainable_variables]


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_block_moves_by_its_share_of_the_rate(name, weight_decay):
    updates = []
    for decay in (1.0, DECAY):
        keras.utils.set_random_seed(0)
        encoder, variables = network()
        # That of LARS is multiplied by its trust coefficient.
        rate = 1.0 if name == "lars" else 1e-3
        optimizer = optimizers.build(name, rate, weight_decay, momentum=0.9)
        if decay < 1:
            words = decay_by_layer(optimizer, encoder, decay)
            assert words.startswith("layer_decay: 2 blocks; the rate of block1 is 0.25 and that of")
        before = [np.array(variable) for variable in variables]
        generator = np.random.default_rng(1)
        gradients = [generator.normal(size=variable.shape) for variable in variables]
        optimizer.build(variables)
        optimizer.apply(gradients, variables)
        updates.append([np.array(v) - b for v, b in zip(variables, before, strict=True)])
    for variable, plain, decayed in zip(variables, *updates, strict=True):
        factor = FACTORS[variable.path.split("/")[0]]
        assert np.abs(plain).max() > 5e-4
        np.testing.assert_allclose(decayed, factor * plain, atol=3e-7)  # Of weights about 1.


def test_an_optimizer_of_one_rate_is_refused():
    with pytest.raises(InputError, match="layer_decay: optimizer 'adam' has one rate"):
        decay_by_layer(keras.optimizers.Adam(), network()[0], DECAY)
