"""An accepted image decodes in TensorFlow to what a viewer shows; the rest has a reason."""

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from xsample_tf.data import image_files


def _picture(height=24, width=32, seed=0) -> np.ndarray:
    """Smooth colours, so that JPEG changes them little."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _file(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _decoded(content: bytes) -> np.ndarray:
    return tf.io.decode_image(content, channels=3, expand_animations=False).numpy()


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean over pixels, of 255: codecs round, another frame or orientation is above 40."""
    return float(np.abs(first.astype(float) - second.astype(float)).mean())


def _rotated_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # The viewer turns the picture clockwise.
    return exif


PICTURE = Image.fromarray(_picture())
KEPT = {
    "jpeg": _file(PICTURE, "JPEG"),
    "progressive jpeg": _file(PICTURE, "JPEG", progressive=True),
    "grey jpeg": _file(PICTURE.convert("L"), "JPEG"),
    "png": _file(PICTURE, "PNG"),
    "grey png": _file(PICTURE.convert("L"), "PNG"),
    "jpeg of a phone": _file(PICTURE, "MPO", save_all=True, append_images=[PICTURE]),
}
FRAMES = {"save_all": True, "append_images": [PICTURE.rotate(180)]}
ENCODED_AGAIN = {
    "cmyk jpeg": _file(PICTURE.convert("CMYK"), "JPEG", quality=95),
    "palette": _file(PICTURE.quantize(256), "PNG"),
    "webp": _file(PICTURE, "WEBP", quality=95),
    "animated webp": _file(PICTURE, "WEBP", quality=95, **FRAMES),
    "gif": _file(PICTURE, "GIF"),
    "animated gif": _file(PICTURE, "GIF", **FRAMES),
    "animated png": _file(PICTURE, "PNG", **FRAMES),
    "bmp": _file(PICTURE, "BMP"),
    "tiff": _file(PICTURE, "TIFF"),
}
TRUNCATED = {name: KEPT[name][: len(KEPT[name]) * 2 // 3] for name in ("jpeg", "png")}


@pytest.mark.parametrize("name", KEPT)
def test_plain_jpeg_and_png_are_kept_byte_for_byte(name):
    stored, encoded_again = image_files.normalize(KEPT[name])
    assert stored == KEPT[name]
    assert not encoded_again
    assert _decoded(stored).shape == (24, 32, 3)


@pytest.mark.parametrize("name", ENCODED_AGAIN)
def test_everything_else_is_stored_as_a_viewer_shows_it(name):
    stored, encoded_again = image_files.normalize(ENCODED_AGAIN[name])
    assert encoded_again
    assert _difference(_decoded(stored), _picture()) < (12 if "gif" in name else 6)


def test_an_avif_file_is_stored_as_a_jpeg_that_looks_the_same():
    if not features.check("avif"):
        pytest.skip("this Pillow does not read AVIF")
    stored, encoded_again = image_files.normalize(_file(PICTURE, "AVIF", quality=95))
    assert encoded_again and stored.startswith(b"\xff\xd8")
    assert _difference(_decoded(stored), np.asarray(PICTURE)) < 4


def test_a_heic_file_is_stored_as_a_jpeg_that_looks_the_same():
    plugin = pytest.importorskip("pillow_heif", reason="HEIC needs pip install pillow-heif")
    plugin.register_heif_opener()
    content = _file(PICTURE, "HEIF", quality=95)
    assert content[4:12] == b"ftypheic"
    stored, encoded_again = image_files.normalize(content)
    assert encoded_again and stored.startswith(b"\xff\xd8")
    assert _difference(_decoded(stored), np.asarray(PICTURE)) < 10
    with pytest.raises(image_files.ImageError, match="not_an_image|undecodable|needs_pillow_heif"):
        image_files.normalize(content[:60])


def test_a_git_lfs_pointer_is_told_as_such():
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    with pytest.raises(image_files.ImageError, match="git_lfs_pointer"):
        image_files.normalize(pointer)


def test_sixteen_bits_keep_their_upper_eight():
    wide = np.linspace(0, 65535, 24 * 32).astype(np.uint16).reshape(24, 32)
    stored, _ = image_files.normalize(_file(Image.fromarray(wide), "PNG"))
    np.testing.assert_array_equal(_decoded(stored)[..., 0], wide >> 8)


def test_sixteen_bit_colour_png_is_encoded_again():
    content = tf.io.encode_png(_picture().astype(np.uint16) * 257).numpy()
    stored, encoded_again = image_files.normalize(content)
    assert encoded_again
    np.testing.assert_array_equal(_decoded(stored), _picture())


def test_transparent_pixels_become_white():
    pixels = np.dstack([_picture(), np.full((24, 32), 255, np.uint8)])
    pixels[:10, :, 3] = 0
    stored, _ = image_files.normalize(_file(Image.fromarray(pixels), "PNG"))
    assert np.all(_decoded(stored)[:10] == 255)
    np.testing.assert_array_equal(_decoded(stored)[10:], _picture()[10:])


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_rotation_is_carried_out(kind):
    stored, encoded_again = image_files.normalize(_file(PICTURE, kind, exif=_rotated_exif()))
    assert encoded_again
    assert _difference(_decoded(stored), np.rot90(_picture(), -1)) < 6
    assert image_files.normalize(stored) == (stored, False)


def test_a_one_bit_image_stays_black_and_white():
    stored, _ = image_files.normalize(_file(PICTURE.convert("1"), "PNG"))
    assert set(np.unique(_decoded(stored))) == {0, 255}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"<html>404 not found</html>", "not_an_image"),
        (TRUNCATED["jpeg"], "undecodable"),
        (TRUNCATED["png"], "undecodable"),
        (ENCODED_AGAIN["webp"][:-100], "undecodable"),
        (_file(Image.new("RGB", (7, 64)), "PNG"), "too_small"),
        (_file(Image.new("1", (10_000, 9_000)), "PNG"), "too_large"),
        (_file(Image.new("F", (16, 16)), "TIFF"), "unsupported_pixels"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_cannot_be_used_has_a_reason(content, reason):
    with pytest.raises(image_files.ImageError, match=f"^{reason}$"):
        image_files.normalize(content)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(KEPT)),
    position=st.integers(0, 10_000),
    value=st.integers(0, 255),
    kept=st.floats(0.3, 1.0),
)
def test_whatever_is_accepted_decodes(name, position, value, kept):
    content = bytearray(KEPT[name][: int(len(KEPT[name]) * kept)])
    content[position % len(content)] = value
    try:
        stored, _ = image_files.normalize(bytes(content))
    except image_files.ImageError:
        return
    assert _decoded(stored).ndim == 3
    assert tf.io.decode_jpeg(stored, channels=3).shape[-1] == 3
