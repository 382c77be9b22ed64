"""Generated captioned scenes."""

from xsample_tf.data.scenes.choices import COLOURS
from xsample_tf.data.scenes.generator import (
    BACKGROUND_NAMES,
    CLASS_NAMES,
    MAXIMUM_SIZE,
    MINIMUM_SIZE,
    SPLITS,
    Scene,
    generate,
)

__all__ = [
    "BACKGROUND_NAMES",
    "CLASS_NAMES",
    "COLOURS",
    "MAXIMUM_SIZE",
    "MINIMUM_SIZE",
    "SPLITS",
    "Scene",
    "generate",
]
