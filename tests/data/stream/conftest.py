"""The data that streams are read from."""

import pytest
from helpers.data_directory import write_directory


@pytest.fixture(scope="session")
def directory(tmp_path_factory) -> str:
    """Three shards of 45 images in all, for tests that leave them as they are."""
    return write_directory(tmp_path_factory.mktemp("data"))
