"""Encoders that exist take our images whatever they are made from, or are refused in a line."""

import json
import shutil
import warnings
import zipfile

import keras
import keras_hub
import numpy as np
import pytest
from helpers.plain_encoders import small_encoder
from keras_hub import layers
from keras_hub import models as hub

from xsample_tf import models
from xsample_tf.errors import InputError
from xsample_tf.export import export
from xsample_tf.models.networks.fine_tuning import block_depths, freeze

SIZE = 32
IMAGES = np.random.default_rng(0).random((3, SIZE, SIZE, 3), np.float32)
MEAN, DEVIATION = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


def load(spec, image_size=None, expected=None):
    lines = []
    encoder = models.load_encoder(spec, image_size, expected, log=lines.append)
    (line,) = lines
    assert all(layer.trainable for layer in encoder._flatten_layers())
    return encoder, line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Presets of random weights, one of each family, and what each gives for an image."""
    folder = tmp_path_factory.mktemp("presets")
    small = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8}
    tower = {"patch_size": 8, "intermediate_dim": 16, "image_shape": (SIZE, SIZE, 3), **small}
    words = {"vocabulary_size": 9, "embedding_dim": 8, "intermediate_dim": 16, **small}
    shape = {"image_shape": (SIZE, SIZE, 3)}
    made = {
        "ResNet": hub.ResNetBackbone([64], [7], [64, 64], [1, 1], [1, 2], "basic_block"),
        "ViT": hub.ViTBackbone(patch_size=8, mlp_dim=16, **shape, **small),
        "DINOV2": hub.DINOV2Backbone(position_embedding_shape=(56, 56, 3), **tower),
        "CLIP": hub.CLIPBackbone(hub.CLIPVisionEncoder(**tower), hub.CLIPTextEncoder(**words), 4),
        "SigLIP": hub.SigLIPBackbone(
            hub.SigLIPVisionEncoder(**tower), hub.SigLIPTextEncoder(**words)
        ),
    }
    for name, model in made.items():
        for variable in model.variables:  # Tables that begin at zero would show nothing.
            if "float" in variable.dtype:
                variable.assign_add(0.01 * np.random.default_rng(1).normal(size=variable.shape))
        model.save_to_preset(str(folder / name))
        getattr(layers, f"{name}ImageConverter")(
            image_size=(SIZE, SIZE),
            scale=(1 / 255 / DEVIATION).tolist(),
            offset=(-MEAN / DEVIATION).tolist(),
        ).save_to_preset(str(folder / name))
    return folder


def expected_of(model):
    """What a family's own network gives for images, normalised by hand and pooled by hand."""
    images = ((IMAGES - MEAN) / DEVIATION).astype(np.float32)
    tower = getattr(model, "vision_encoder", model)
    given = np.array(tower({"images": images} if isinstance(tower.input, dict) else images))
    if given.ndim == 4:
        return given.mean(axis=(1, 2))
    return given[:, 0] if given.ndim == 3 else given


@pytest.mark.parametrize(
    "name, pooling",
    [
        ("ResNet", "average over the last feature map, 64"),
        ("ViT", "the class token, 8"),
        ("DINOV2", "the class token, 8"),
        ("CLIP", "the class token, 8"),
        ("SigLIP", "its own pooling, 8"),
    ],
)
def test_a_preset_of_keras_hub_gives_what_its_family_does(folder, name, pooling, tmp_path):
    encoder, line = load(f"keras_hub:{folder / name}", SIZE)
    given = np.array(encoder(IMAGES))
    own = keras_hub.models.Backbone.from_preset(
        str(folder / name), **({"image_shape": (SIZE, SIZE, 3)} if name == "DINOV2" else {})
    )
    np.testing.assert_allclose(given, expected_of(own), rtol=1e-4, atol=1e-5)
    assert pooling in line and "M parameters" in line and "(x - [0.485 0.456 0.406])" in line
    # As a file, it is the same without the preset.
    encoder.save(tmp_path / "encoder.keras")
    again, _ = load(tmp_path / "encoder.keras", SIZE)
    np.testing.assert_allclose(again(IMAGES), given, rtol=1e-5, atol=1e-6)


def test_positions_of_dinov2_are_resized_and_those_of_others_are_refused(folder):
    encoder, _ = load(f"keras_hub:{folder / 'DINOV2'}", 2 * SIZE)
    assert encoder.input_shape == (None, 2 * SIZE, 2 * SIZE, 3)
    with pytest.raises(InputError, match="image_size: .* multiple of its patches' 8 pixels.*36"):
        load(f"keras_hub:{folder / 'DINOV2'}", 36)
    with pytest.raises(InputError, match="ViT takes images of 32 pixels, received 64; set --image"):
        load(f"keras_hub:{folder / 'ViT'}", 2 * SIZE)


def test_blocks_are_found_inside_of_a_network(folder):
    """The rate decays, and layers are frozen, by names that a nested network keeps."""
    encoder, _ = load(f"keras_hub:{folder / 'ViT'}", SIZE)
    depths, firsts = block_depths(encoder)
    assert firsts == [
        "vit_patching_and_embedding",
        *(f"vit_encoder/transformer_block_{number}/ln_1" for number in (1, 2)),
    ]
    found = {variable.path: depths[id(variable)] for variable in encoder.variables}
    assert found["vit_encoder/transformer_block_2/mlp/dense_1/kernel"] == 2
    assert found["vit_encoder/ln/gamma"] == 2
    frozen = freeze(encoder, "embedding|block_1/")
    assert "vit_encoder/transformer_block_1/mha/query" in frozen
    assert {v.path.split("/")[1] for v in encoder.trainable_variables} == {
        "transformer_block_2",
        "ln",
    }


@pytest.fixture(scope="module")
def network():
    """A network of Keras with random weights."""
    return keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)
    )


def old_weights(model, path):
    """Weights as earlier Keras wrote them, and as Keras still serves them."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


@pytest.mark.parametrize("ending", [".weights.h5", ".h5", ""])
def test_a_network_of_keras_applications_gives_what_it_does_there(
    network, ending, tmp_path, monkeypatch
):
    path = tmp_path / f"mobilenet{ending or '.h5'}"
    network.save_weights(path) if ending == ".weights.h5" else old_weights(network, path)
    spec = f"keras.applications:MobileNet:{path}"
    if not ending:  # ImageNet's are downloaded to a file.
        asked = []

        def get_file(name, url, **unused):
            asked.append(name)
            return str(path)

        monkeypatch.setattr("keras.src.applications.mobilenet.file_utils.get_file", get_file)
        spec = "keras.applications:MobileNet"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")
        encoder, line = load(spec, SIZE)
    assert ending or asked == ["mobilenet_1_0_224_tf_no_top.h5"]
    expected = np.mean(np.array(network(2 * IMAGES - 1)), axis=(1, 2))
    np.testing.assert_allclose(encoder(IMAGES), expected, rtol=1e-4, atol=1e-5)
    assert "3.2 M parameters; scales pixels in [0, 1] to [-1, 1]; average" in line


def test_half_precision_computes_in_it_but_for_pixels_and_the_embedding(folder):
    exact, _ = load(f"keras_hub:{folder / 'SigLIP'}", SIZE)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        encoder, _ = load(f"keras_hub:{folder / 'SigLIP'}", SIZE)
    finally:
        keras.config.set_dtype_policy("float32")
    own = {layer.name: layer.compute_dtype for layer in encoder._flatten_layers()}
    assert (own["preprocessing"], own["embedding"]) == ("float32", "float32")
    assert own["fc1"] == own["query"] == own["layer_norm1"] == "bfloat16"
    assert encoder(IMAGES).dtype == "float32"
    np.testing.assert_allclose(encoder(IMAGES), exact(IMAGES), atol=0.1)
    assert np.any(np.array(encoder(IMAGES)) != np.array(exact(IMAGES)))


def test_a_keras_file_or_an_export_is_loaded_with_its_range_of_pixels(tmp_path):
    encoder = small_encoder()
    encoder.layers[2].trainable = False  # Else somebody trains it in vain.
    export(encoder, tmp_path / "export", 16)
    images = IMAGES[:, :16, :16]
    given, line = load(tmp_path / "export", 16)
    np.testing.assert_allclose(given(images), encoder(images), rtol=1e-5, atol=1e-6)
    assert "takes pixels in [0, 1]; its own output, 6" in line
    pixels = keras.Input((None, None, 3))
    features = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(pixels))
    bytes_model = keras.Model(pixels, keras.layers.GlobalMaxPooling2D()(features))
    bytes_model.save(tmp_path / "bytes.keras")
    given, line = load(tmp_path / "bytes.keras")
    np.testing.assert_allclose(given(IMAGES), bytes_model(255 * IMAGES), rtol=1e-5, atol=1e-6)
    assert "to [0, 255]" in line
    # It takes [0, 1] now, and is loaded again as it is.
    given.save(tmp_path / "again.keras")
    again, line = load(tmp_path / "again.keras")
    np.testing.assert_allclose(again(IMAGES), given(IMAGES), rtol=1e-6)
    assert "takes pixels in [0, 1];" in line
    model = models.XSampleModel(encoder, input_range=(-1, 1))
    model.save(tmp_path / "model.keras")
    given, line = load(tmp_path / "model.keras", 16)
    np.testing.assert_allclose(given(images), encoder(2 * images - 1), rtol=1e-5, atol=1e-6)


def dense(*widths, size=8):
    """A network of dense layers, called first, second and so on."""
    model = keras.Sequential([keras.Input((size, size, 3)), keras.layers.Flatten()])
    for name, width in zip(("first", "second", "third"), widths, strict=False):
        model.add(keras.layers.Dense(width, name=name))
    return model


def test_weights_need_an_architecture_and_name_the_first_layer_that_differs(tmp_path):
    own, spec = dense(4, 5, 6), tmp_path / "own.weights.h5"
    own.save_weights(spec)
    given, _ = load(spec, 8, dense(4, 5, 6))
    images = IMAGES[:, :8, :8]
    np.testing.assert_allclose(given(images), own(images), rtol=1e-6)
    with pytest.raises(InputError, match="weights without an architecture; name it, as --backb"):
        load(spec)
    words = r"another architecture than \S+: expected second \(4, 7\) \(7,\), received \S+dense_1 "
    with pytest.raises(InputError, match=words + r"\(4, 5\)"):
        load(spec, 8, dense(4, 7, 6))
    # Keras itself takes this one in silence.
    with pytest.raises(InputError, match=r"expected nothing, received layers/dense_2 \(5, 6\)"):
        load(spec, 8, dense(4, 5))
    with pytest.raises(InputError, match=r"expected third \(5, 6\) \(6,\), received nothing"):
        dense(4, 5).save_weights(spec)
        load(spec, 8, own)
    old_weights(dense(4, 7), tmp_path / "old.h5")
    with pytest.raises(InputError, match=r"expected second \(4, 5\) \(5,\), received second \(4,"):
        load(tmp_path / "old.h5", 8, own)
    own.save(tmp_path / "own.keras")
    words = (
        r"backbone: \S+own.keras is of another architecture than \S+: expected \S*second \(4, 7\)"
    )
    with pytest.raises(InputError, match=words):
        load(tmp_path / "own.keras", 8, dense(4, 7, 6))


@pytest.mark.parametrize(
    "spec, words",
    [
        ("nowhere", r"init_from: expected one of .*keras_hub:PRESET.*'nowhere', which does not ex"),
        ("FOLDER", "which is none of these"),
        ("FOLDER/no.keras", "expected a .keras file, received .*no.keras, which is none"),
        ("FOLDER/bad.keras", r"init_from: cannot load .*bad.keras \("),
        ("FOLDER/bad.weights.h5", r"init_from: cannot read .*bad.weights.h5 \("),
        ("FOLDER/no.weights.h5", "expected a file of weights, received .*no.weights.h5"),
        ("FOLDER/8.keras", r"image_size: .*8.keras takes images of 8 pixels, received 32; set --i"),
        ("FOLDER/grey.keras", r"square RGB images, received .*grey.keras.*\(None, 32, 32, 1\)"),
        ("FOLDER/map.keras", r"expected one vector an image.*add a pooling layer"),
        ("keras.applications:ResNet5", "keras.applications: received 'ResNet5', did you mean"),
        ("keras.applications:MobileNet:no.h5", "expected a file of weights, received no.h5"),
        ("keras.applications:Xception:no.h5", "Xception does not take 32 pixels .*at least 71x71"),
        ("keras_hub:vit_base", "keras_hub:, received 'vit_base', did you mean"),
        ("keras_hub:FOLDER/ViT-whole", "no preset of an image model, it lacks image_converter.j"),
        ("keras_hub:FOLDER/ViT-weights", "no preset of an image model, it lacks model.weights.h5"),
        ("keras_hub:FOLDER/ViT-other", "cannot load the model of keras_hub:"),
    ],
)
def test_what_cannot_be_used_is_one_line(folder, spec, words):
    make_bad(folder)
    expected = dense(4, size=SIZE) if "weights.h5" in spec and "keras_hub" not in spec else None
    with pytest.raises(InputError, match=words) as caught:
        load(spec.replace("FOLDER", str(folder)), SIZE, expected)
    assert "\n" not in str(caught.value)


def make_bad(folder):
    if (folder / "bad.keras").exists():
        return
    for name in ("bad.weights.h5", "bad.keras"):
        (folder / name).write_text("nothing of that kind")
    with zipfile.ZipFile(folder / "bad.keras", "w") as file:
        file.writestr("config.json", "{}")
    dense(4).save(folder / "8.keras")
    grey = keras.Input((SIZE, SIZE, 1))
    keras.Model(grey, keras.layers.GlobalAveragePooling2D()(grey)).save(folder / "grey.keras")
    image = keras.Input((SIZE, SIZE, 3))
    keras.Model(image, keras.layers.Conv2D(2, 3)(image)).save(folder / "map.keras")
    for name, lacking in (("whole", "image_converter.json"), ("weights", "model.weights.h5")):
        shutil.copytree(folder / "ViT", folder / f"ViT-{name}")
        (folder / f"ViT-{name}" / lacking).unlink()
    other = shutil.copytree(folder / "ViT", folder / "ViT-other") / "config.json"
    config = json.loads(other.read_text())
    config["config"]["hidden_dim"] = 16
    other.write_text(json.dumps(config))


def test_a_name_is_an_architecture_too(tmp_path, monkeypatch):
    made = small_encoder()
    made.save_weights(tmp_path / "encoder.weights.h5")
    asked = []

    def make(*arguments):
        asked.append(arguments)
        return keras.models.clone_model(made)

    monkeypatch.setattr("xsample_tf.models.pretrained.load.make_backbone", make)
    given, line = load(tmp_path / "encoder.weights.h5", 16, "resnet18")
    images = IMAGES[:, :16, :16]
    np.testing.assert_allclose(given(images), made(images), rtol=1e-5)
    assert asked == [("resnet18", 16)] and "pools as that does, 6" in line
