"""Which variables weight decay takes, in a model with everything that there is."""

import keras
import numpy as np
import pytest

from xsample_tf import losses, models
from xsample_tf.errors import InputError
from xsample_tf.training import optimizers

RATE, DECAY = 0.5, 0.1


def image_encoder():
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(images)
    x = keras.layers.BatchNormalization(name="bn")(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


def two_towers(optimizer):
    model = models.ImageTextModel(
        image_encoder(),
        models.text_tower(12, length=4, width=8, layers=1, heads=2),
        models.projector(4, 6, 5),
        models.projector(8, output_dim=5, layers=1, name="text_projector"),
        learn_bias=True,
    )
    model.compile(optimizer, losses.SigmoidContrastiveLoss())
    model.make_train_function()
    return model


def decayed(model):
    """The paths of variables that a step without a gradient changes."""
    optimizer = model.optimizer
    before = {variable.path: np.array(variable) for variable in model.trainable_variables}
    gradients = [0.0 * variable.value for variable in model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables)
    changed = set()
    for variable in model.trainable_variables:
        old, new = before[variable.path], np.array(variable)
        if not np.array_equal(old, new):
            np.testing.assert_allclose(new, old * (1 - RATE * DECAY), rtol=1e-5)
            changed.add(variable.path)
    return changed


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("embeddings", [True, False])
def test_kernels_decay_and_tables_where_it_is_asked_for(name, embeddings):
    optimizer = optimizers.build(name, RATE, DECAY, decay_embeddings=embeddings)
    model = two_towers(optimizer)
    kernels = {v.path for v in model.trainable_variables if v.name == "kernel"}
    tables = {"token_table/embeddings", "position_table/embeddings"}
    assert len(kernels) == 8 and tables < {v.path for v in model.trainable_variables}
    # Biases, gamma and beta of batch and layer norm, temperature and bias stay as they are.
    assert decayed(model) == (kernels | tables if embeddings else kernels)
    again = optimizers.build(name, RATE, DECAY)
    again = type(again).from_config(optimizer.get_config())
    assert again.decay_embeddings is embeddings


def test_lars_decays_by_the_gradient_what_is_no_bias_norm_or_table():
    optimizer = optimizers.build("lars", RATE, DECAY, decay_embeddings=False)
    model = two_towers(optimizer)
    flags = dict(zip((v.path for v in model.trainable_variables), optimizer._decayed, strict=True))
    assert {path for path, flag in flags.items() if flag} == {
        variable.path for variable in model.trainable_variables if variable.name == "kernel"
    }
    assert optimizers.LARS.from_config(optimizer.get_config()).decay_embeddings is False


def test_an_optimizer_of_one_s_own_that_always_decays_is_named():
    @optimizers.register("plain_for_a_test")
    def make(learning_rate, *, momentum, **arguments):
        return keras.optimizers.SGD(learning_rate, momentum, **arguments)

    optimizers.build("plain_for_a_test", RATE, DECAY)
    with pytest.raises(InputError, match="decay_embeddings: optimizer 'plain_for_a_test' has no"):
        optimizers.build("plain_for_a_test", RATE, DECAY, decay_embeddings=False)
