"""Image files as people have them -> JPEG or PNG bytes that TensorFlow reads as viewers do.

Eight-bit RGB and grey JPEG and PNG files are kept byte for byte. Everything else that Pillow opens
(CMYK, palette, alpha, 16 bits, EXIF rotation, animation, WebP, GIF, BMP, TIFF) is encoded again,
and so is what `ImageRules.resize` makes smaller.
"""

import contextlib
import dataclasses
import functools
import io

import numpy as np
import tensorflow as tf
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from xsample_tf import files

MIN_SIDE = 8  # Pixels; what is smaller is a tracking pixel or a failed download.
JPEG_LONGEST = 65_500  # Pixels of a side that libjpeg encodes.
# Brands of files that Pillow reads with a plugin, and the reason where it has none.
_PLUGINS = {b"avif": "needs_pillow_avif", b"avis": "needs_pillow_avif"}
_PLUGINS |= dict.fromkeys((b"heic", b"heix", b"hevc", b"mif1", b"msf1"), "needs_pillow_heif")
MAX_PIXELS = 89_000_000  # Pillow warns of a decompression bomb above this.
_LOSSY = frozenset({"AVIF", "HEIF", "JPEG", "JPEG2000", "MPO", "WEBP"})


class ImageError(Exception):
    """An image that cannot be used; `str(error)` is the reason it is counted under."""


@dataclasses.dataclass(frozen=True)
class ImageRules:
    """What images must be like, and what is made of them.

    Attributes:
        min_side: Pixels of the shorter side below which an image is left out.
        max_aspect: Longer over shorter side above which an image is left out; None: no limit.
        resize: Shorter side that larger images are brought to; 0 keeps every image's size.
        jpeg_quality: Of what is resized.
    """

    min_side: int = MIN_SIDE
    max_aspect: float | None = None
    resize: int = 0
    jpeg_quality: int = 90


KEEP_ORIGINAL = ImageRules()


def normalize(content: bytes, form: ImageRules = KEEP_ORIGINAL) -> tuple[bytes, bool]:
    r"""Returns the bytes to store for one image file, and whether it was encoded again.

    Transparent pixels become white, of an animation the first frame is taken, an EXIF rotation is
    carried out, 16 bits keep their upper 8. Lossy sources are stored as JPEG of quality 95 without
    chroma subsampling, others as PNG. What `form.resize` makes smaller is stored as JPEG.

    Args:
        content: The whole image file.
        form: What the image must be like, and its size.

    Raises:
        ImageError: With the reason: "empty_file", "not_an_image", "git_lfs_pointer",
            "undecodable" (truncated or corrupt), "too_small", "too_large", "too_long_for_jpeg"
            (over 65,500 pixels), "extreme_aspect", "unsupported_pixels", or "needs_pillow_heif" and
            "needs_pillow_avif" for formats that Pillow reads with a plugin.

    Example:
        >>> normalize(open("photo.webp", "rb").read())[0][:3]
        b'\xff\xd8\xff'
    """
    stored, reencoded = as_viewed(content, form)
    _check_decodes(stored)
    return stored, reencoded


def as_viewed(content: bytes, form: ImageRules = KEEP_ORIGINAL) -> tuple[bytes, bool]:
    """Returns what `normalize` does, of a plain file without looking whether it can be decoded.

    For what decodes the images itself, at once.
    """
    if not content:
        raise ImageError("empty_file")
    image = _open(content)
    if min(image.size) < form.min_side:
        raise ImageError("too_small")
    if image.width * image.height > MAX_PIXELS:
        raise ImageError("too_large")
    if form.max_aspect and max(image.size) > form.max_aspect * min(image.size):
        raise ImageError("extreme_aspect")
    smaller = 0 < form.resize < min(image.size)
    reencode = smaller or not _is_plain(image, content)
    return _encode(image, form, smaller) if reencode else content, reencode


def _open(content: bytes) -> Image.Image:
    _register_plugins()
    try:
        return Image.open(io.BytesIO(content))
    except UnidentifiedImageError as error:
        if content.startswith(files.LFS_POINTER):
            raise ImageError("git_lfs_pointer") from error
        brand = content[8:12] if content[4:8] == b"ftyp" else b""
        raise ImageError(_PLUGINS.get(brand, "not_an_image")) from error
    except Image.DecompressionBombError as error:
        raise ImageError("too_large") from error
    except Exception as error:  # Pillow's parsers raise many types on hostile headers.
        if not content.startswith(b"\x89PNG"):
            raise ImageError("undecodable") from error
    # Pillow refuses a long text beside the pixels; TensorFlow passes over it.
    try:
        return Image.fromarray(tf.io.decode_png(content, channels=3).numpy())
    except (tf.errors.OpError, MemoryError) as error:
        raise ImageError("undecodable") from error


@functools.cache
def _register_plugins() -> None:
    """Lets Pillow read HEIC, where the package for it is installed."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()


def encode_png(pixels: np.ndarray) -> bytes:
    """Returns uint8 `[H, W, 3]` or `[H, W]` as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _is_plain(image: Image.Image, content: bytes) -> bool:
    """Whether TensorFlow's decoder sees in these bytes what a viewer shows."""
    if image.mode not in ("RGB", "L"):
        return False
    if image.format == "PNG":
        # Bit depth and colour type stand in the header: Pillow shows 16-bit RGB as "RGB".
        plain = content[24] == 8 and content[25] in (0, 2) and "transparency" not in image.info
        return plain and not getattr(image, "is_animated", False) and _upright(image)
    return image.format in ("JPEG", "MPO") and _upright(image)


def _upright(image: Image.Image) -> bool:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in (0, 1)
    except Exception:  # Broken EXIF says nothing about rotation, and the pixels may be fine.
        return True


def _encode(image: Image.Image, form: ImageRules, smaller: bool) -> bytes:
    lossy = image.format in _LOSSY
    try:
        if smaller:
            image.draft(None, [2 * side for side in _resized(image.size, form.resize)])
        image.load()
        image = _to_eight_bits(image if _upright(image) else ImageOps.exif_transpose(image))
        if smaller:
            image = image.resize(_resized(image.size, form.resize), Image.Resampling.LANCZOS)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError("undecodable") from error
    if not lossy and not smaller:
        return encode_png(np.asarray(image))
    if max(image.size) > JPEG_LONGEST:
        raise ImageError("too_long_for_jpeg")
    buffer = io.BytesIO()
    try:
        if smaller:
            image.save(buffer, "JPEG", quality=form.jpeg_quality)
        else:
            image.save(buffer, "JPEG", quality=95, subsampling=0)
    except Exception as error:
        raise ImageError("unencodable") from error
    return buffer.getvalue()


def _resized(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    """Returns width and height of the same proportions whose smaller is `shorter`."""
    return tuple(round(side * shorter / min(size)) for side in size)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Returns an image of mode "RGB" or "L"."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ImageError("unsupported_pixels")  # No agreed range to bring to 8 bits.
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _check_decodes(content: bytes) -> None:
    """Decodes with the decoder that training uses; the eighth-size JPEG reads every bit as well."""
    try:
        if content.startswith(b"\xff\xd8"):
            tf.io.decode_jpeg(content, ratio=8)
        else:
            tf.io.decode_png(content)
    except tf.errors.OpError as error:
        raise ImageError("undecodable") from error
