"""Sources that several files prepare."""

import pytest
from helpers.preparing import write_png


@pytest.fixture
def folders(tmp_path) -> str:
    """60 images of 3 classes."""
    for i in range(60):
        write_png(tmp_path / "raw" / f"class_{i % 3}" / f"{i:02d}.png", i)
    return f"folder:{tmp_path}/raw"
