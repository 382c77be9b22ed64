"""The command with which the images of a table of links are fetched."""

import shlex

import pytest

from xsample_tf.data.sources.links import fetch_command


def arguments(command: str) -> dict[str, str]:
    """The flags of a command, as a shell would split it."""
    words = shlex.split(command)
    assert words[0] == "img2dataset"
    pairs = [word.removeprefix("--").partition("=") for word in words[1:]]
    assert all(equals for _, equals, _ in pairs)
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("captions", [[], ["TEXT"]])
def test_it_names_the_table_and_its_columns(captions):
    found = arguments(fetch_command("cc/links.tsv", "tsv", "URL", captions, "cc12m"))
    assert found["url_list"] == "cc/links.tsv"
    assert (found["input_format"], found["url_col"]) == ("tsv", "URL")
    assert found.get("caption_col") == (captions[0] if captions else None)
    assert (found["output_format"], found["output_folder"]) == ("webdataset", "cc12m")


def test_it_makes_what_the_preparation_of_web_archives_makes():
    """Images are made small once, by img2dataset: not enlarged, and not encoded again after."""
    found = arguments(fetch_command("t.csv", "csv", "url", ["caption"], "t"))
    assert (found["image_size"], found["encode_quality"]) == ("256", "90")
    assert (found["resize_mode"], found["resize_only_if_bigger"]) == ("keep_ratio", "True")
    assert found["enable_wandb"] == "False"


def test_names_with_spaces_are_quoted_for_the_shell():
    found = arguments(fetch_command("my table.csv", "csv", "image url", ["alt text"], "my out"))
    assert (found["url_list"], found["output_folder"]) == ("my table.csv", "my out")
    assert (found["url_col"], found["caption_col"]) == ("image url", "alt text")


def test_img2dataset_has_these_flags():
    pytest.importorskip("img2dataset", reason="img2dataset is not installed")
    import inspect

    import img2dataset

    known = inspect.signature(img2dataset.download).parameters
    assert arguments(fetch_command("t.csv", "csv", "url", ["caption"], "t")).keys() <= known.keys()
