"""Generated scenes as a source: `scenes:count=4000,size=64`."""

from collections.abc import Iterator

from xsample_tf.data import scenes
from xsample_tf.data.sources.base import Classes, Options, Sample, Source, register
from xsample_tf.data.sources.interpretation.splits import default_fraction
from xsample_tf.errors import InputError, suggest


@register("scenes")
class Scenes(Source):
    """Generated captioned images: scenes:count=4000,size=64,seed=0,correlation=0.

    The validation split is `validation_fraction` of `count` more, generated with split="val".
    """

    captioned = True
    shuffled = True
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
        given = options.validation_fraction
        self.validation_fraction = default_fraction(count) if given is None else given
        held_out = round(count * self.validation_fraction)
        self.classes = Classes(tuple(scenes.CLASS_NAMES), tuple(scenes.CLASS_NAMES))
        self.counts = {"train": count} | ({"val": held_out} if held_out else {})
        self.fingerprint = f"scenes {self._values}"

    def understanding(self) -> list[str]:
        """See `Source`."""
        values = ", ".join(f"{name} {value}" for name, value in self._values.items())
        return [f"scenes: generated, {self.counts['train']:,} for training; {values}"]

    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """See `Source`."""
        made = scenes.generate(stop - start, split=split, start=start, **self._values)
        for position, scene in enumerate(made, start):
            yield Sample(f"{split}/{position:07d}", scene.image, tuple(scene.captions), scene.label)
