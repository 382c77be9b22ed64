import pytest
from helpers import tiny_data

from xsample_tf.evaluation import MEASURES, TASKS


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> str:
    return tiny_data.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def bare_dir(tmp_path_factory) -> str:
    return tiny_data.write(tmp_path_factory.mktemp("bare"), labelled=False, captioned=False)


@pytest.fixture
def own_entries(monkeypatch):
    """Takes measures and tasks that a test registers out again."""
    for registry in (MEASURES, TASKS):
        registry.names()  # Lists those that are built in.
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
