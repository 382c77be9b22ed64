"""A tiny encoder without batch norm, batches for it, and a plain Keras model of the same loss."""

import types

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.losses import XSampleContrastiveLoss
from xsample_tf.models import XSampleModel

ROWS, SIDE, TEXT = 8, 4, 5
RATE = 0.125  # The same in float32 and float64.


def encoder(dtype="float32", last=(), **dense):
    """Images `[B, 4, 4, 3]` to `[B, 6]`, always with the same weights."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Flatten(dtype=dtype),
        keras.layers.Dense(7, activation="tanh", dtype=dtype, name="first", **dense),
        keras.layers.Dense(6, dtype=dtype, name="second"),
    ]
    return keras.Sequential(
        [keras.Input((SIDE, SIDE, 3), dtype=dtype), *layers, *last], name="encoder"
    )


def model(loss=None, optimizer=None, dtype="float32", made=None, compiled=None, **arguments):
    """Compiled; `compiled` goes to `compile`, the rest to the model."""
    result = XSampleModel(made or encoder(dtype), dtype=dtype, **arguments)
    loss = loss or XSampleContrastiveLoss(implementation="dense", dtype=dtype)
    result.compile(optimizer or keras.optimizers.SGD(RATE), loss, **(compiled or {}))
    return result


def plain(made, loss=None, optimizer=None, views=2, **arguments):
    """What a Keras user would write: the same encoder and loss in a functional model."""
    images = keras.Input((views, SIDE, SIDE, 3))
    vectors = made(keras.ops.reshape(images, (-1, SIDE, SIDE, 3)))
    result = keras.Model(images, keras.ops.reshape(vectors, (-1, views, vectors.shape[-1])))
    result.compile(optimizer or "sgd", loss or XSampleContrastiveLoss(), **arguments)
    return result


def pixels(rows=ROWS, views=2, seed=0):
    """Views uint8 `[rows, V, 4, 4, 3]`."""
    shape = (rows, views, SIDE, SIDE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def captions(rows=ROWS, seed=1):
    return np.random.default_rng(seed).normal(size=(rows, TEXT))


def arrays(rows=ROWS):
    """Views in [0, 1] and captions, float32."""
    return (pixels(rows) / 255).astype("float32"), captions(rows).astype("float32")


def values(layer):
    return [np.array(variable) for variable in layer.variables]


class Tensor:
    """Of a tensor of torch what Keras asks of it."""

    def __init__(self, array):
        self.array = np.asarray(array)
        self.shape, self.dtype, self.ndim = self.array.shape, self.array.dtype, self.array.ndim

    def cpu(self):
        return self

    def __array__(self, dtype=None, copy=None):
        return self.array


class DataLoader:
    """Of torch's `DataLoader` what Keras asks of it."""

    batch_size = ROWS

    def __init__(self, *batches):
        self.batches = self.dataset = batches

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)


DataLoader.__module__ = "torch.utils.data.dataloader"
# Stands for the package, which need not be there.
Torch = types.SimpleNamespace(
    utils=types.SimpleNamespace(data=types.SimpleNamespace(DataLoader=DataLoader)), Tensor=Tensor
)


class Batches(keras.utils.PyDataset):
    """One batch."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.batch


def sources(data):
    """Arguments of `fit` by name, each of which gives the one batch `data` from something else."""

    def strings_as_tensors(x):
        return tf.constant(x) if x.dtype.kind == "U" else x  # Keras takes no such arrays.

    batch = tf.nest.map_structure(strings_as_tensors, data)
    numbers = (*data[:1], _without_strings(data[1]), *data[2:])
    return {
        "arrays": dict(zip(("x", "y", "sample_weight"), data, strict=False)) | {"batch_size": ROWS},
        "tf.data": {"x": tf.data.Dataset.from_tensor_slices(data).batch(ROWS)},
        "a generator": {"x": (one for one in [batch])},
        "a PyDataset": {"x": Batches(batch)},
        "a DataLoader": {"x": DataLoader(tf.nest.map_structure(Tensor, numbers))},
    }


def _without_strings(side):
    """A side dict as torch has it, whose tensors are numbers."""
    if not isinstance(side, dict):
        return side
    return {name: value for name, value in side.items() if value.dtype.kind != "U"}
