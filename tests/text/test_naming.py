import json

import pytest

from xsample_tf import text
from xsample_tf.text import naming


@pytest.mark.parametrize(
    ("folder", "files", "name"),
    [
        ("all-MiniLM-L6-v2", {"README.md": "# something-else\n"}, "all-MiniLM-L6-v2"),
        ("birds/model", {"README.md": "---\nlicense: mit\n---\n\n# owner/mini-v2\n"}, "mini-v2"),
        ("birds/model", {"README.md": "# A model of birds\n"}, "birds-model"),
        ("birds/model", {"config.json": {"_name_or_path": "owner/mini"}}, "mini"),
        ("birds/model", {"config.json": {"_name_or_path": "/tmp/output"}}, "birds-model"),
        ("birds/model", {"config.json": {"_name_or_path": None}}, "birds-model"),
        ("birds/checkpoint-500", {}, "birds-checkpoint-500"),
        ("birds/0_Transformer", {}, "birds-0_Transformer"),
        ("models--owner--mini/snapshots/" + "0a" * 20, {}, "mini"),
        ("lake (new)/final", {}, "lake-new-final"),
    ],
)
def test_a_directory_is_named_after_its_model(tmp_path, folder, files, name):
    directory = tmp_path / folder
    directory.mkdir(parents=True)
    for file, content in files.items():
        content = content if isinstance(content, str) else json.dumps(content)
        (directory / file).write_text(content, encoding="utf-8")
    assert naming.directory_name(str(directory)) == name


def test_encoders_in_folders_of_the_same_name_have_names_of_their_own(make_directory, tmp_path):
    for parent in ("birds", "fish"):
        (tmp_path / parent).mkdir()
        make_directory().rename(tmp_path / parent / "model")
    encoders = [text.load_encoder(str(tmp_path / parent / "model")) for parent in ("birds", "fish")]
    assert [encoder.name for encoder in encoders] == ["birds-model", "fish-model"]
    assert encoders[0].handle == str(tmp_path / "birds" / "model")
