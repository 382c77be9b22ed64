"""The flags that say where images are and how to read them, for the tools that take a source."""

import command_line
from absl import flags

from xsample_tf.data import sources
from xsample_tf.errors import InputError

command_line.choose_from(sources.SOURCES)

SOURCE = flags.DEFINE_string("source", None, "KIND:WHERE of the images.")
IMAGE_COLUMN = flags.DEFINE_string("image_column", None, "Column or feature of the image.")
CAPTION_COLUMN = flags.DEFINE_list(
    "caption_column",
    [],
    "Columns or features of captions, such as caption or sentences[].raw; none: there are none.",
)
LABEL_COLUMN = flags.DEFINE_string(
    "label_column", None, "Column or feature of the class; none leaves labels out."
)
KEY_COLUMN = flags.DEFINE_string("key_column", None, "Column that names the image.")
SPLIT_COLUMN = flags.DEFINE_string(
    "split_column", None, "Column of the split of each row; none leaves it out."
)
VALIDATION_SPLIT = flags.DEFINE_string(
    "validation_split",
    None,
    "Split that validates, such as test, and becomes val/; else one that is called val, valid, "
    "validation or dev, else, in a preparation, --validation_fraction of the training images.",
)
IMAGE_ROOT = flags.DEFINE_string(
    "image_root", None, "What a table's paths are relative to; else the table's folder."
)
CLASS_NAMES = flags.DEFINE_string(
    "class_names",
    None,
    "File of the classes in the order of their labels, a line each: KEY, or KEY<TAB>NAME.",
)
SEED = flags.DEFINE_integer("seed", 0, "Orders the images; those of tfds: keep their order.")
TFDS_DIR = flags.DEFINE_string("tfds_dir", None, "Where TFDS keeps its data.")


def options(**others: object) -> sources.Options:
    """Returns how to read a source, as the flags say.

    Args:
        **others: Values of the options that only one tool has flags for.

    Raises:
        InputError: The file of class names cannot be read.
    """
    return sources.Options(
        image_column=IMAGE_COLUMN.value,
        caption_columns=tuple(CAPTION_COLUMN.value),
        label_column=LABEL_COLUMN.value,
        key_column=KEY_COLUMN.value,
        split_column=SPLIT_COLUMN.value,
        validation_split=VALIDATION_SPLIT.value,
        image_root=IMAGE_ROOT.value,
        class_names=_class_names(),
        tfds_dir=TFDS_DIR.value,
        seed=SEED.value,
        own=command_line.entry_values(sources.SOURCES),
        **others,
    )


def _class_names() -> tuple[str, ...]:
    if not CLASS_NAMES.value:
        return ()
    try:
        with open(CLASS_NAMES.value, encoding="utf-8") as file:
            return tuple(line.rstrip("\n") for line in file if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"class_names: cannot read {CLASS_NAMES.value} ({error})") from error
