"""Searches a folder of photos by text, and writes a sheet of the best ones.

    python tools/search.py --model=runs/photos --images=photos --caption="a dog on a beach"
    python tools/search.py --model=EXPORT --images=photos --caption="a dog" --caption="snow" \
        --top=32 --output=found/dogs.png

The images' vectors are kept beside --output, so that the next caption is answered at once. Models
of two towers search by their own text tower, others by their map from images to captions.
"""

import pathlib

import command_line
from absl import flags

from xsample_tf import search
from xsample_tf.errors import InputError, listing

_MODEL = flags.DEFINE_string("model", None, "A run directory or an export.")
_IMAGES = flags.DEFINE_string("images", None, "A folder of photos, with the folders in it.")
_CAPTION = flags.DEFINE_multi_string(
    "caption", [], "What to look for, in words; give it again for each."
)
_TOP = flags.DEFINE_integer("top", 16, "How many images of each caption.", lower_bound=1)
_OUTPUT = flags.DEFINE_string(
    "output", "found.png", "The sheet to write; the images' vectors are kept beside it."
)
_TEXT_ENCODER = flags.DEFINE_string(
    "text_encoder", None, "Where the text encoder is that the model's captions were made by."
)


def main() -> None:
    if not _MODEL.value:
        raise InputError("--model: expected a run or an export, received none")
    if not _IMAGES.value:
        raise InputError("--images: expected a folder of photos, received none")
    captions = _CAPTION.value
    model = search.load(_MODEL.value, _TEXT_ENCODER.value)
    model.embed_captions(captions)  # Before the images, which may take long.
    output = pathlib.Path(_OUTPUT.value)
    index = search.index_folder(model, _IMAGES.value, output.parent)
    if index.left_out:
        reasons = (f"{count:,} {reason}" for reason, count in index.left_out.most_common())
        print(f"left out: {listing(reasons)}")
    found = index.find(captions, _TOP.value)
    for caption, images in zip(captions, found, strict=True):
        print(caption)
        for image in images:
            print(f"  {image.cosine:.3f}  {image.path}")
    search.write_sheet(captions, found, output)
    print(f"written: {output}")


if __name__ == "__main__":
    command_line.run(main, __doc__)
