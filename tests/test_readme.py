"""The README's example runs exactly as printed."""

import re

import pytest


@pytest.mark.slow  # ResNet-18 is traced and trained as the README has it, half a minute.
def test_the_example_trains(repository, tmp_path, monkeypatch):
    readme = (repository / "README.md").read_text(encoding="utf-8")
    code = re.search(r"<!-- example -->\n```python\n(.*?)```", readme, re.DOTALL).group(1)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["model"].history.history["loss"][-1] < names["model"].history.history["loss"][0]
    assert (tmp_path / "export" / "example" / "saved_model" / "saved_model.pb").exists()


def test_the_files_that_it_names_exist(repository):
    readme = (repository / "README.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(((?!http|#)[^)#]+)", readme):
        assert (repository / link).exists(), link
    for config in re.findall(r"`(\w+)\.flags`", readme):
        assert (repository / "configs" / f"{config}.flags").exists(), config
