"""One sample -> one record, or the reason why not; and the tally of reasons."""

import dataclasses
import hashlib

from xsample_tf.data import image_files, records, sources
from xsample_tf.data.feature_columns import FeatureColumn
from xsample_tf.data.preparation.filters import Quality
from xsample_tf.errors import InputError
from xsample_tf.templates import class_caption


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one sample: a record, or none and the reasons.

    A record may have reasons too: captions that were left out of it. `digest` is the hash of the
    source's file. `name` is its key, and where it stands in the source.
    """

    name: str
    reasons: tuple[str, ...]
    record: bytes | None = None
    split: str = ""
    captions: int = 0
    encoded_again: bool = False
    digest: bytes = b""


@dataclasses.dataclass(frozen=True)
class RecordBuilder:
    """Turns samples into records; called from many threads.

    Attributes:
        template: Makes class names captions where the source has none.
        validation_fraction: Share of the images that the hash gives to "val".
        quality: Rules for captions and images.
        feature_default: Takes the place of missing numbers; None makes them an error.
        columns: Feature columns of the records, of whichever source they come.
    """

    template: str
    validation_fraction: float
    quality: Quality
    feature_default: float | None = None
    columns: tuple[FeatureColumn, ...] = ()

    def __call__(self, source: sources.Source, prefix: str, sample: sources.Sample) -> Outcome:
        """Returns the record of a sample of `source`, its key after `prefix`."""
        key, name = prefix + sample.key, prefix + sample.name
        if sample.fault:
            return Outcome(name, (sample.fault,))
        captions, reasons = self.captions(source.captioned, source.classes, sample)
        if reasons and not captions:
            return Outcome(name, reasons)
        try:
            content = source.read(sample.image)
            form = self.quality.form(source.default_resize)
            image, encoded_again = image_files.normalize(content, form)
        except image_files.ImageError as error:
            return Outcome(name, (*reasons, str(error)))
        except InputError:
            raise
        except Exception as error:  # One image never ends the run.
            return Outcome(name, (*reasons, f"error_{type(error).__name__}"))
        numbers = {
            column.stored_name: column.numbers(
                sample.numbers.get(column.name), self.feature_default, key
            )
            for column in self.columns
        }
        record = records.serialize(image, key, captions, sample.label, numbers)
        digest = hashlib.sha256(content).digest()
        split = self._split(digest)
        return Outcome(name, reasons, record, split, len(captions), encoded_again, digest)

    def _split(self, digest: bytes) -> str:
        """Splits by content, so that copies of an image are on one side."""
        place = int.from_bytes(digest[:8], "big") / 2.0**64
        return "val" if place < self.validation_fraction else "train"

    def captions(
        self, captioned: bool, classes: sources.Classes | None, sample: sources.Sample
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns the captions of a record, and the reasons why others are left out.

        Args:
            captioned: Whether the source has captions of its own.
            classes: The classes of the source.
            sample: The sample.
        """
        names = classes.names if classes else None
        limit = len(names) if names else 1 << 24  # Keras hands labels to losses as float32.
        if sample.label is not None and not 0 <= sample.label < limit:
            return (), ("label_out_of_range",)
        if captioned:
            found = [self.quality.caption(caption) for caption in sample.captions] or [
                ("", "missing_caption")
            ]
            captions = tuple(caption for caption, reason in found if not reason)
            return captions, tuple(reason for _, reason in found if reason)
        if names is None:
            return (), ()
        if sample.label is None:
            return (), ("empty_label",)
        return (class_caption(self.template, names[sample.label]),), ()
