"""Tables of eight images, images/0.png to images/7.png, each with captions that name it."""

import numpy as np

from xsample_tf.data import image_files, sources

COUNT = 8


def png(i: int) -> bytes:
    pixels = np.full((16, 16, 3), 20 * i, np.uint8)
    pixels[: i + 1, 0] = 255
    return image_files.encode_png(pixels)


def caption(i: int, version: int = 0) -> str:
    return f"scene number {i}, version {version}"


def opened(path, **options):
    own = options.pop("own", {})
    source = sources.open_source(f"table:{path}", sources.Options(**options, own=own))
    source.understanding()
    return source


def samples_of(source) -> dict[str, sources.Sample]:
    return {
        sample.key: sample
        for split, count in source.counts.items()
        for sample in source.samples(split, 0, count)
    }


def check_captions(source, versions: int, count: int = COUNT) -> None:
    """Each image has its own captions and its own bytes, whatever its key is."""
    found = list(samples_of(source).values())
    assert len(found) == count
    numbers = set()
    for sample in found:
        number = int(sample.captions[0].split()[2].rstrip(","))
        numbers.add(number)
        assert sample.captions == tuple(caption(number, v) for v in range(versions))
        assert source.read(sample.image) == png(number)
    assert len(numbers) == count


def write(folder, name: str, text: str, encoding: str = "utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def rows(sep: str, ending: str = "", versions: int = 1) -> str:
    return "\n".join(
        sep.join([f"images/{i}.png", caption(i, v)]) + ending
        for i in range(COUNT)
        for v in range(versions)
    )
