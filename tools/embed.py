"""Writes the vectors of any images by any encoder, in files that NumPy and pandas read.

    python tools/embed.py --model=runs/photos --images=PHOTOS --output=vectors/photos
    python tools/embed.py --model=SAVED_MODEL --data_dir=data/cifar100 --split=val --output=vectors
    python tools/embed.py --model=their.keras --source=table:captions.csv --output=vectors \
        --browse=5000

--output gets shards of vectors, keys.parquet with what is known of the image of each row, and
left_out.csv. The same command continues a run that was stopped. --browse adds browse.parquet, with
thumbnails, neighbours and a 2-D map, for browsers such as Embedding Atlas or Spotlight.
"""

import pathlib
import warnings

import command_line
import model_flags
import source_flags
from absl import flags

from xsample_tf import embedding
from xsample_tf.errors import InputError

_IMAGES = flags.DEFINE_string("images", None, "A folder of photos, with the folders in it.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "A directory that prepare_data wrote.")
_SPLIT = flags.DEFINE_string("split", None, "Which split of --data_dir; by default all of it.")
_OUTPUT = flags.DEFINE_string("output", None, "The directory to write.")
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Side of the images; by default the model's own.", lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 256, "Images at a time.", lower_bound=1)
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "float16"], "Of the vectors in files.")
_LIMIT = flags.DEFINE_integer(
    "limit", None, "At most so many images of a split, the first in the order of --seed."
)
_BROWSE = flags.DEFINE_integer(
    "browse", None, "Write browse.parquet too, of so many images at most.", lower_bound=2
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Delete what --output has of an earlier run with other flags."
)


def main() -> None:
    warnings.filterwarnings("ignore", module="PIL")  # What Pillow remarks on is counted.
    model_flags.check()
    if not _OUTPUT.value:
        raise InputError("--output: expected a directory to write to, received none")
    folder, output = _IMAGES.value, pathlib.Path(_OUTPUT.value).resolve()
    if folder and output.is_relative_to(pathlib.Path(folder).resolve()):
        raise InputError(
            f"--output: expected a directory outside of --images, whose files are images, received "
            f"{_OUTPUT.value} in {folder}"
        )
    images = _images()
    encoder = model_flags.open_model()
    size = _IMAGE_SIZE.value or encoder.card.get("image_size") or encoder.input_shape[1]
    if size is None:
        raise InputError("--image_size: expected the side of the images, since the model takes any")
    described = embedding.embed(
        encoder,
        images,
        _OUTPUT.value,
        size,
        batch_size=_BATCH_SIZE.value,
        dtype=_DTYPE.value,
        limit=_LIMIT.value,
        overwrite=_OVERWRITE.value,
    )
    if _BROWSE.value is not None:
        path = embedding.write_browsable(_OUTPUT.value, described, images, _BROWSE.value)
        print(
            f"look at it: embedding-atlas {path} --x projection_x --y projection_y "
            "--neighbors neighbors"
        )


def _images() -> embedding.Images:
    """The images that the flags name; prints what they were taken for."""
    given = (_IMAGES.value, source_flags.SOURCE.value, _DATA_DIR.value)
    if sum(map(bool, given)) != 1:
        raise InputError(
            f"images: expected one of --images=FOLDER, --source=KIND:WHERE and --data_dir=DIR, "
            f"received {sum(map(bool, given)) or 'none'}"
        )
    if _SPLIT.value and not _DATA_DIR.value:
        raise InputError("split: expected --data_dir with it, received other images")
    if _IMAGES.value:
        images = embedding.FolderImages(_IMAGES.value)
    elif _DATA_DIR.value:
        images = embedding.PreparedImages(_DATA_DIR.value, _SPLIT.value)
    else:
        images = embedding.SourceImages(source_flags.SOURCE.value, source_flags.options())
    for line in images.understanding():
        print(line)
    return images


if __name__ == "__main__":
    command_line.run(main, __doc__)
