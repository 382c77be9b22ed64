"""A folder of images that tables name."""

import pytest
from helpers.tables import COUNT, png


@pytest.fixture
def folder(tmp_path):
    """Eight images, images/0.png to images/7.png."""
    (tmp_path / "images").mkdir()
    for i in range(COUNT):
        (tmp_path / "images" / f"{i}.png").write_bytes(png(i))
    return tmp_path
