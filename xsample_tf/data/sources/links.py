"""Tables of links, as CC3M and CC12M are published: the command that fetches the images."""

import itertools
import pathlib

from xsample_tf.data.sources.base import Options
from xsample_tf.data.sources.formats import TableFile
from xsample_tf.data.sources.interpretation.roles import (
    CAPTION_NAMES,
    IMAGE_NAMES,
    OTHER_CAPTION_NAMES,
    find_named,
)
from xsample_tf.errors import InputError

_LINK_NAMES = ("url", "image_url", "img_url")


def refuse_links(table: TableFile, options: Options) -> None:
    """Answers a table of links with the command that fetches them.

    Raises:
        InputError: The column of images has links.
    """
    path, names = pathlib.Path(table.file), list(table.columns)
    links, make = table.file, ""
    if names[0].startswith("column_"):  # No header line.
        row = next(iter(table.sample), {})
        link = next((name for name in names if is_link(row.get(name))), None)
        texts = itertools.chain(["caption"], (f"column_{i}" for i in range(len(names))))
        names = ["url" if name == link else next(texts) for name in names]
        link, links = "url", str(path.with_name(f"{path.stem}_links{path.suffix}"))
        header = ("\\t" if path.suffix == ".tsv" else ",").join(names)
        make = f"(printf '{header}\\n'; cat {table.file}) > {links} && "
    else:
        named = [options.image_column] if options.image_column else []
        usual = named or find_named([*IMAGE_NAMES, *_LINK_NAMES], names)
        link = next((n for n in usual if any(is_link(row.get(n)) for row in table.sample)), None)
        if link is None:
            return
    captions = [n for n in names if n in options.caption_columns]
    captions += find_named([*CAPTION_NAMES, *OTHER_CAPTION_NAMES], names)
    raise InputError(
        f"source: {table.file} has links, not images; fetch them with img2dataset: "
        + make
        + fetch_command(links, path.suffix[1:], link, captions[:1], path.stem)
        + f" && python tools/prepare_data.py --source=img2dataset:{path.stem} --output=DIR"
    )


def fetch_command(links: str, kind: str, link: str, captions: list[str], output: str) -> str:
    """Returns the command of img2dataset for a table of links.

    Args:
        links: The table.
        kind: Its format, "csv", "tsv", "parquet" or "jsonl".
        link: Column of the links.
        captions: Column of the captions, if any.
        output: Folder for the images.
    """
    return (
        f"img2dataset --url_list={links} --input_format={kind} --url_col={link} "
        + "".join(f"--caption_col={name} " for name in captions)
        + f"--output_format=webdataset --output_folder={output} --image_size=256 "
        "--resize_mode=keep_ratio --resize_only_if_bigger=True --encode_quality=90 "
        "--processes_count=16 --thread_count=64 --enable_wandb=False"
    )


def is_link(value: object) -> bool:
    """Whether a value is a link to the web."""
    return isinstance(value, str) and value.startswith(("http://", "https://"))
