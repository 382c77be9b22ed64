"""Generated scenes as a source: `scenes:count=4000,size=64`."""

import collections
from collections.abc import Iterator

import numpy as np

from xsample_tf.data import image_files, scenes
from xsample_tf.data.sources.base import Classes, Options, Sample, register
from xsample_tf.errors import InputError, suggest


@register("scenes")
class Scenes:
    """A `Source` of generated captioned images, `count=4000,size=48,seed=0,correlation=0.0`.

    The validation split is `validation_fraction` of `count` more, generated with split="val".
    """

    default_resize = 0
    shuffled = True
    columns = ()
    _DEFAULTS = {"count": 4000, "size": 64, "seed": 0, "correlation": 0.0}

    def __init__(self, where: str, options: Options, classes: Classes | None = None):
        del classes  # Scenes have classes of their own.
        self._values = dict(self._DEFAULTS)
        for item in where.split(","):
            name, _, text = item.partition("=")
            if name not in self._DEFAULTS:
                raise InputError(f"scenes: unknown {name!r}; {suggest(name, self._DEFAULTS)}")
            try:
                self._values[name] = type(self._DEFAULTS[name])(text)
            except ValueError as error:
                raise InputError(f"scenes: expected a number, received {item!r}") from error
        count = self._values.pop("count")
        if count < 1:
            raise InputError(f"scenes: expected count of at least 1, received {count}")
        held_out = round(count * options.validation_fraction)
        self.classes = Classes(tuple(scenes.CLASS_NAMES), tuple(scenes.CLASS_NAMES))
        self.captioned = True
        self.counts = {"train": count} | ({"val": held_out} if held_out else {})
        self.rejected = collections.Counter()
        self.fingerprint = f"scenes {self._values}"

    def understanding(self) -> list[str]:
        """See `Source`."""
        values = ", ".join(f"{name} {value}" for name, value in self._values.items())
        return [f"scenes: generated, {self.counts['train']:,} for training; {values}"]

    def preview(self, count: int) -> tuple[list[Sample], Classes | None]:
        """See `Source`."""
        return list(self.samples("train", 0, min(count, self.counts["train"]))), self.classes

    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """See `Source`."""
        made = scenes.generate(stop - start, split=split, start=start, **self._values)
        for position, scene in enumerate(made, start):
            yield Sample(f"{split}/{position:07d}", scene.image, tuple(scene.captions), scene.label)

    def read(self, image: np.ndarray) -> bytes:
        """See `Source`."""
        return image_files.encode_png(image)
