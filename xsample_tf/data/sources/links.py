"""Tables of links, as CC3M and CC12M are published: the command that fetches the images."""

import itertools
import pathlib
import shlex

from xsample_tf.data.sources.base import Options
from xsample_tf.data.sources.formats import TableFile
from xsample_tf.data.sources.interpretation.captions import CAPTION_NAMES, OTHER_CAPTION_NAMES
from xsample_tf.data.sources.interpretation.roles import IMAGE_NAMES, names_images
from xsample_tf.data.sources.interpretation.sampled import find_named
from xsample_tf.data.sources.interpretation.values import is_link
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
        make = f"(printf '{header}\\n'; cat {shlex.quote(table.file)}) > {shlex.quote(links)} && "
    else:
        link = _link_column(table, options)
        if link is None:
            return
    captions = [n for n in names if n in options.caption_columns]
    captions += find_named([*CAPTION_NAMES, *OTHER_CAPTION_NAMES], names)
    fetched = shlex.quote(f"img2dataset:{path.stem}")
    raise InputError(
        f"source: {table.file} has links, not images; fetch them with img2dataset: ",
        make
        + fetch_command(links, path.suffix[1:], link, captions[:1], path.stem)
        + f" && python tools/prepare_data.py --source={fetched} --output=DIR",
    )


def _link_column(table: TableFile, options: Options) -> str | None:
    """The column of links, where the images are nothing else; None where there are files."""
    linked = [name for name in table.columns if any(is_link(row.get(name)) for row in table.sample)]
    if options.image_column:
        return next(iter(find_named([options.image_column], linked)), None)
    if set(find_named(IMAGE_NAMES, table.columns)) - set(linked):
        return None
    if any(names_images(table.sample, n) for n in table.columns if n not in linked):
        return None
    return next(iter([*find_named([*IMAGE_NAMES, *_LINK_NAMES], linked), *linked]), None)


def fetch_command(links: str, kind: str, link: str, captions: list[str], output: str) -> str:
    """Returns the command of img2dataset for a table of links.

    Args:
        links: The table.
        kind: Its format, "csv", "tsv", "parquet" or "jsonl".
        link: Column of the links.
        captions: Column of the captions, if any.
        output: Folder for the images.
    """
    table, column, folder = map(shlex.quote, (links, link, output))
    return (
        f"img2dataset --url_list={table} --input_format={kind} --url_col={column} "
        + "".join(f"--caption_col={shlex.quote(name)} " for name in captions)
        + f"--output_format=webdataset --output_folder={folder} --image_size=256 "
        "--resize_mode=keep_ratio --resize_only_if_bigger=True --encode_quality=90 "
        "--processes_count=16 --thread_count=64 --enable_wandb=False"
    )
