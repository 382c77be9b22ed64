"""Projection heads: what stands between an encoder and the loss in training."""

import numbers

import keras

from xsample_tf.errors import InputError
from xsample_tf.models.networks.backbones import synchronize_batch_norm, wanted


def projector(
    input_dim: int,
    hidden_dim: int = 2048,
    output_dim: int = 128,
    layers: int = 2,
    synchronized_batch_norm: bool | None = None,
    name: str = "projector",
) -> keras.Model:
    """Builds a multi-layer perceptron `[B, input_dim]` to float32 `[B, output_dim]`.

    `layers - 1` times dense, batch norm and ReLU, then a dense layer (SimCLR, arXiv 2002.05709,
    section 4.2; the paper's is 2048 to 2048 to 128). One layer is a linear map. A dense layer that
    batch norm follows has no bias. The output is not normalised: the loss does that.

    Args:
        input_dim: The encoder's D, `encoder.output_shape[-1]`.
        hidden_dim: Width of the layers before the last.
        output_dim: Size of the vectors that the loss compares.
        layers: Number of dense layers, from 1.
        synchronized_batch_norm: Batch statistics of all replicas together; None does so where the
            strategy in force has several.
        name: As in Keras. Defaults to "projector".

    Raises:
        InputError: A size that is not a whole number from 1.

    Example:
        >>> projector(512)(tf.zeros([4, 512])).shape
        TensorShape([4, 128])
    """
    sizes = {"input_dim": input_dim, "hidden_dim": hidden_dim}
    sizes |= {"output_dim": output_dim, "layers": layers}
    for size_of, size in sizes.items():
        if not isinstance(size, numbers.Integral) or size < 1:
            raise InputError(
                f"projector: expected {size_of} as a whole number from 1, received {size!r}"
            )
    model = keras.Sequential([keras.Input((input_dim,), name="embedding")], name=name)
    for _ in range(layers - 1):
        model.add(keras.layers.Dense(hidden_dim, use_bias=False))
        model.add(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
        model.add(keras.layers.ReLU())
    model.add(keras.layers.Dense(output_dim, dtype="float32", name="projection"))
    return synchronize_batch_norm(model) if wanted(synchronized_batch_norm) else model
