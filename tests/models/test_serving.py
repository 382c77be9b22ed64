"""`model.export`: the signatures of `xsample_tf.export`, by Keras's own method."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import door

from xsample_tf.data import image_files
from xsample_tf.errors import InputError
from xsample_tf.models import XSampleModel


@pytest.mark.parametrize("input_range", [(0, 1), (-1, 1)])
def test_a_model_exports_the_signatures(tmp_path, input_range):
    model = XSampleModel(door.encoder(), input_range=input_range)
    model.export(tmp_path / "model")
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    of_files = {"embed_jpeg", "embed_jpeg_or_nan"}
    assert set(signatures) == {"serving_default", "embed_image", "embed_pixels"} | of_files
    images = door.pixels()[:, 0]
    low, high = input_range
    expected = model((low + (high - low) * (images / 255)).astype("float32"))
    found = signatures["serving_default"](images=tf.constant(images / 255, tf.float32))
    np.testing.assert_allclose(found["embedding"], expected, atol=1e-5)
    files = tf.constant([image_files.encode_png(image) for image in images])
    for name in ("embed_jpeg", "embed_jpeg_or_nan"):
        found = signatures[name](jpeg=files)["embedding"]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_side_of_images_is_asked_for_where_the_encoder_takes_any(tmp_path):
    layers = [keras.layers.Conv2D(3, 2), keras.layers.GlobalAveragePooling2D()]
    model = XSampleModel(keras.Sequential([keras.Input((None, None, 3)), *layers]))
    with pytest.raises(InputError, match=r"image_size: .*model.export\(path, image_size=224\)"):
        model.export(tmp_path / "model")
    model.export(tmp_path / "model", image_size=5)
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    assert signatures["serving_default"](images=tf.zeros([2, 9, 7, 3]))["embedding"].shape == (2, 3)
    with pytest.raises(InputError, match="expected a model with an input_range, received None"):
        XSampleModel(door.encoder(), input_range=None).export(tmp_path / "other")


def test_a_signature_of_ones_own_is_kerass_own_export(tmp_path):
    model = XSampleModel(door.encoder())
    signature = [keras.InputSpec(shape=(None, 4, 4, 3), dtype="float32")]
    model.export(tmp_path / "model", input_signature=signature, verbose=False)
    assert "serve" in tf.saved_model.load(str(tmp_path / "model")).signatures
