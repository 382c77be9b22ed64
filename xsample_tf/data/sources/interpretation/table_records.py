"""Records of a table as they are listed: what the rows of an image have in common."""

import collections
import dataclasses

import numpy as np

from xsample_tf.data.sources.base import Classes, Sample, clean_key, permuted
from xsample_tf.data.sources.formats import TableFile, cells
from xsample_tf.data.sources.interpretation.labels import (
    class_key,
    is_missing_label,
    whole_number,
)

TableImage = str | cells.LineCell | cells.ParquetCell


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: `str()` is for messages."""

    table: TableFile
    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.table.file}:{self.number}"


@dataclasses.dataclass
class TableRecord:
    """What the rows of one image say of it; `place` is that of the first row, for messages."""

    image: TableImage
    captions: list[str]
    label: object
    split: str
    place: Place
    numbers: dict[str, object]

    @property
    def facts(self) -> dict[str, object]:
        """What all rows of the image have to say alike."""
        return {"label": self.label} | self.numbers


@dataclasses.dataclass(frozen=True)
class Listing:
    """Samples by split, their classes, and what was left out, with a place for each reason."""

    samples: dict[str, list[Sample]]
    classes: Classes | None
    left_out: collections.Counter
    examples: dict[str, str]
    has_all_classes: bool  # Or may know fewer than there are, since rows are left to read.


def find_classes(records: dict[str, TableRecord], table: TableFile, column: str) -> Classes | None:
    """Returns the names that Parquet has, or those in the labels; None where all are numbers."""
    names = table.class_names(column)
    if names is None:
        labels = (record.label for record in records.values())
        found = {label for label in labels if not is_missing_label(label)}
        if all(whole_number(label) is not None for label in found):
            return None
        names = sorted({class_key(label) for label in found})
    return Classes(tuple(names), tuple(clean_key(name) for name in names))


def ordered(samples: list[Sample], seed: int) -> list[Sample]:
    """Permutes the samples; row groups of Parquet as a whole, and the rows within each."""
    if not samples or not isinstance(samples[0].image, cells.ParquetCell):
        return permuted(samples, seed)
    groups = collections.defaultdict(list)
    for sample in samples:
        groups[sample.image.file, sample.image.group].append(sample)
    ordered = list(groups.values())
    generator = np.random.default_rng(seed)
    return [
        ordered[g][i]
        for g in generator.permutation(len(ordered))
        for i in generator.permutation(len(ordered[g]))
    ]
