"""Backbones against the literature's parameter counts and a forward pass written out in tf.nn."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from xsample_tf import models
from xsample_tf.errors import InputError

BLOCKS = {"resnet18": [2, 2, 2, 2], "resnet50": [3, 4, 6, 3]}


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).random((2, 32, 32, 3), np.float32)


def build_two(**arguments) -> list[keras.Model]:
    """One backbone of each family, small."""
    transformer = models.backbone("vit_s16", image_size=32, **arguments)
    return [models.backbone("resnet18", **arguments), transformer]


@pytest.fixture(scope="module")
def encoders() -> list[keras.Model]:
    keras.utils.set_random_seed(3)
    return build_two()


@pytest.fixture
def mixed_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def randomize(model: keras.Model, seed: int = 0) -> None:
    """Gives every weight, moving statistics too, a value that matters to the output."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))


def reference_resnet(model: keras.Model, images: np.ndarray, blocks: list[int], small: bool):
    """ResNet (He et al.; stride in the 3x3 convolution) in float64, from the model's weights."""

    def convolve(x, name, stride=1):
        kernel = tf.cast(model.get_layer(f"{name}_conv").kernel, tf.float64)
        return tf.nn.conv2d(x, kernel, stride, "SAME")

    def normalize(x, name):
        layer = model.get_layer(f"{name}_bn")
        gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in layer.weights)
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def block(x, name, convolutions, stride):
        shortcut = x
        if stride == 2 or x.shape[-1] != model.get_layer(f"{name}_out").output.shape[-1]:
            shortcut = normalize(convolve(x, f"{name}_0", stride), f"{name}_0")
        strided = 1 if convolutions == 2 else 2
        for i in range(1, convolutions + 1):
            part = f"{name}_{i}"
            x = normalize(convolve(x, part, stride if i == strided else 1), part)
            x = tf.nn.relu(x) if i < convolutions else x
        return tf.nn.relu(x + shortcut)

    x = (images.astype(np.float64) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x = tf.nn.relu(normalize(convolve(x, "conv1", 1 if small else 2), "conv1"))
    x = x if small else tf.nn.max_pool2d(x, 3, 2, "SAME")
    convolutions = 2 if blocks == BLOCKS["resnet18"] else 3
    for stage, count in enumerate(blocks):
        for i in range(count):
            stride = 2 if stage > 0 and i == 0 else 1
            x = block(x, f"v2_stack_{stage}_block{i + 1}", convolutions, stride)
    return tf.reduce_mean(x, [1, 2]).numpy()


@pytest.mark.parametrize(
    ("name", "parameters", "size"),
    [  # Published models' counts without the classifier (torchvision; timm for the transformers).
        ("resnet18", 11_176_512, 512),
        ("resnet34", 21_284_672, 512),
        ("resnet50", 23_508_032, 2048),
        pytest.param("resnet101", 42_500_160, 2048, marks=pytest.mark.slow),
        ("vit_s16", 21_665_664, 384),
        pytest.param("vit_b16", 85_798_656, 768, marks=pytest.mark.slow),
    ],
)
def test_parameters_and_sizes_are_those_of_the_literature(name, parameters, size):
    model = models.backbone(name, image_size=224)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == parameters
    assert model.output_shape == (None, size)
    assert [tensor.name for tensor in model.inputs] == ["images"]
    assert name in models.BACKBONES


@pytest.mark.parametrize(
    ("name", "small"), [("resnet18", False), ("resnet18", True), ("resnet50", False)]
)
def test_resnets_compute_what_the_paper_defines(name, small, images):
    model = models.backbone(name, small_images=small)
    randomize(model)
    expected = reference_resnet(model, images, BLOCKS[name], small)
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-4 * expected.std())


def test_resnets_take_any_image_size_and_reduce_it_as_published():
    for small, expected in ((False, (2, 3)), (True, (8, 12))):
        model = models.backbone("resnet18", small_images=small)
        last = keras.Model(model.input, model.get_layer("v2_stack_3_block2_out").output)
        assert last(np.zeros((1, 64, 96, 3), np.float32)).shape[1:3] == expected
        assert model(np.zeros((1, 48, 33, 3), np.float32)).shape == (1, 512)


def test_residual_weights_start_at_the_right_scale_and_apart():
    model = models.backbone("resnet18")
    first, second = (model.get_layer(f"v2_stack_3_block2_{i}_conv").kernel.numpy() for i in (1, 2))
    assert first.std() == pytest.approx(np.sqrt(2 / (9 * 512)), rel=0.01)
    assert np.abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.01


def test_normalization_is_part_of_the_encoder(encoders, images):
    plain = models.backbone("resnet18", normalization=None)
    plain.set_weights(encoders[0].get_weights())
    normalized = (images - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(encoders[0](images), plain(normalized), rtol=1e-4, atol=1e-5)


@pytest.mark.slow  # 8 s.
def test_the_seed_fixes_the_weights_and_a_clone_has_fresh_ones(encoders, images):
    keras.utils.set_random_seed(3)
    for model, again in zip(encoders, build_two(), strict=True):
        np.testing.assert_array_equal(model(images), again(images))
        clone = keras.models.clone_model(model)
        assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]
        assert np.abs(clone(images) - model(images)).max() > 0.01
        clone.set_weights(model.get_weights())
        np.testing.assert_array_equal(model(images), clone(images))


def test_vision_transformer_gives_the_class_token(encoders, images):
    model = encoders[1]
    tokens = model.get_layer("tokens")(model.get_layer("normalization")(images))
    assert tokens.shape == (2, 1 + 4, 384)
    np.testing.assert_array_equal(model(images), tokens[:, 0])


@pytest.mark.slow  # A process of its own imports TensorFlow.
def test_saved_encoders_load_in_a_fresh_process_without_this_package(tmp_path, encoders, images):
    np.save(tmp_path / "images.npy", images)
    for model in encoders:
        model.save(tmp_path / f"{model.name}.keras")
        np.save(tmp_path / f"{model.name}.npy", model(images))
    script = """
import sys, keras, numpy as np
directory = sys.argv[1]
images = np.load(directory + "/images.npy")
for name in ("resnet18", "vit_s16"):
    model = keras.models.load_model(f"{directory}/{name}.keras")
    np.testing.assert_allclose(model(images), np.load(f"{directory}/{name}.npy"), atol=1e-5)
assert "xsample_tf" not in sys.modules and "keras_cv" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_output_is_float32_under_mixed_precision(mixed_bfloat16, images):
    for model in build_two():
        output = model(images)
        assert output.dtype == tf.float32 and np.isfinite(output).all()
        assert {weight.dtype for weight in model.weights} == {"float32"}
        assert model.layers[1].compute_dtype == "float32"
        assert model.layers[2].compute_dtype == "bfloat16"


class Subclassed(keras.Model):
    """Batch norm that only a look inside of layers finds."""

    def __init__(self):
        super().__init__()
        inner = keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()])
        self.parts = [keras.layers.TimeDistributed(inner), keras.layers.BatchNormalization()]

    def call(self, x, training=None):
        return self.parts[1](self.parts[0](x, training=training), training=training)


def batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    return [x for x in model._flatten_layers() if isinstance(x, keras.layers.BatchNormalization)]


def test_synchronize_batch_norm_finds_every_layer_of_any_model(tmp_path):
    nested = keras.Sequential([keras.Input((4,)), models.projector(4, 3, 2, layers=3)])
    for model, count in ((nested, 2), (Subclassed(), 2)):
        assert models.synchronize_batch_norm(model) is model
        assert [layer.synchronized for layer in batch_norms(model)] == [True] * count
    nested.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert all(layer.synchronized for layer in batch_norms(loaded))


def test_backbones_synchronize_when_asked(encoders):
    model = models.backbone("resnet18", synchronized_batch_norm=True)
    assert [layer.synchronized for layer in batch_norms(model)] == [True] * 20
    assert not any(layer.synchronized for layer in batch_norms(encoders[0]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet5"}, "backbone: unknown name 'resnet5', did you mean 'resnet5?0'"),
        ({"name": "convnext"}, "choose from resnet101"),
        ({"name": None}, "unknown name None"),
        ({"name": "vit_s16"}, "image_size: vit_s16 needs a multiple .* received None"),
        ({"name": "vit_b16", "image_size": 100}, "16 pixels, such as 224, received 100"),
        ({"name": "vit_s16", "image_size": 32, "small_images": True}, "small_images: .* vit_s16"),
        ({"name": "resnet18", "image_size": 0}, "image_size: .* received 0"),
        ({"name": "resnet18", "image_size": 2.5}, "image_size: .* received 2.5"),
        ({"name": "resnet18", "normalization": "cifar"}, "expected 'imagenet' or None"),
    ],
)
def test_bad_input_is_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        models.backbone(**arguments)
    assert "\n" not in str(error.value)
