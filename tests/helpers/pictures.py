"""Smooth pictures, and views as planes or pixels."""

import numpy as np
import tensorflow as tf
from PIL import Image


def smooth_picture(height=40, width=56, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encode_jpeg(image: np.ndarray) -> bytes:
    return tf.io.encode_jpeg(image, quality=95).numpy()


def to_planes(image):
    return tf.transpose(image, [2, 0, 1])


def to_pixels(planes):
    return tf.transpose(planes, [1, 2, 0])
