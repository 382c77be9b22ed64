import json
import shutil

import huggingface_hub
import numpy as np
import pytest
import safetensors.numpy
from huggingface_hub import constants

from xsample_tf import text
from xsample_tf.errors import InputError


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        ("lexcal", "received 'lexcal'; did you mean 'lexical'"),
        ("all-minilm-l6-v2", "did you mean 'all-MiniLM-L6-v2'"),
        ("", "received ''; choose from all-MiniLM-L12-v2"),
        ("/no/such/directory", "an existing directory.*'/no/such/directory'"),
        ("two words", "received 'two words'"),
        ("all-minilm-l6-v2#prefix=query:", "did you mean 'all-MiniLM-L6-v2'"),
    ],
)
def test_unknown_handle_has_the_nearest_names(handle, message):
    with pytest.raises(InputError, match=message):
        text.load_encoder(handle)


def test_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"saved_model.pb .*modules.json.*received notes.txt"):
        text.load_encoder(str(tmp_path))
    with pytest.raises(InputError, match="received an empty one or a file"):
        text.load_encoder(str(tmp_path / "notes.txt"))


def test_download_that_fails_names_the_id(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="'nobody/nothing': no such directory.*download") as error:
        text.load_encoder("nobody/nothing")
    assert "\n" not in str(error.value)


@pytest.fixture
def hub(monkeypatch, tmp_path, make_directory):
    """A hub whose every model is the tiny BERT; returns its directory and what was asked for."""
    directory = make_directory()
    (directory / "onnx").mkdir()
    asked = []

    def download(model_id, allow_patterns):
        asked.append((model_id, tuple(allow_patterns)))
        target = tmp_path / "cache" / model_id
        files = [path for pattern in allow_patterns for path in directory.rglob(pattern)]
        for file in files:
            copy = target / file.relative_to(directory)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        return str(target)

    def names(model_id):
        return [str(path.relative_to(directory)) for path in directory.rglob("*")]

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub, "list_repo_files", names)
    return directory, asked


@pytest.mark.parametrize("handle", ["all-MiniLM-L6-v2", "all-mpnet-base-v2", "owner/tiny"])
def test_hugging_face_id(hub, handle):
    directory, asked = hub
    encoder = text.load_encoder(handle)
    expected = handle if "/" in handle else f"sentence-transformers/{handle}"
    assert encoder.handle == expected == asked[0][0] and encoder.name == expected.split("/")[1]
    expected = text.load_encoder(str(directory))(["a dog"])
    np.testing.assert_allclose(encoder(["a dog"]), expected, atol=1e-6)


def test_weights_of_another_family_are_not_downloaded(hub):
    directory, asked = hub
    (directory / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(InputError, match="'owner/t5'.*family.*'t5'"):
        text.load_encoder("owner/t5")
    assert len(asked) == 1 and not any("safetensors" in pattern for pattern in asked[0][1])


def test_weights_beside_another_tokenizer_are_not_downloaded(hub):
    directory, asked = hub
    settings = '{"tokenizer_class": "BertJapaneseTokenizer"}'
    (directory / "tokenizer_config.json").write_text(settings)
    with pytest.raises(InputError, match="'owner/ja'.*BertJapaneseTokenizer"):
        text.load_encoder("owner/ja")
    assert len(asked) == 1


def test_weights_in_several_files_are_downloaded(hub):
    directory, _ = hub
    expected = text.load_encoder(str(directory))(["a dog"])
    name = "model-00001-of-00001.safetensors"
    (directory / "model.safetensors").rename(directory / name)
    tensors = safetensors.numpy.load_file(directory / name)
    index = {"weight_map": dict.fromkeys(tensors, name)}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    np.testing.assert_array_equal(text.load_encoder("owner/large")(["a dog"]), expected)


def test_what_the_hub_has_instead_of_safetensors_is_named(hub):
    directory, _ = hub
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(InputError, match="'owner/old'.*only pytorch_model.bin.*save") as error:
        text.load_encoder("owner/old")
    assert "\n" not in str(error.value)


def test_a_prefix_is_part_of_the_handle(make_directory):
    directory = str(make_directory())
    plain, prefixed = text.load_encoder(directory), text.load_encoder(f"{directory}#prefix=a dog ")
    expected = plain(["a dog running", "a dog a dog"])
    np.testing.assert_allclose(prefixed(["running", "a dog"]), expected, atol=1e-6)
    assert not prefixed([" "]).any()
    assert (plain.name, prefixed.name) == ("tiny-bert", "tiny-bert-a-dog")
    assert prefixed.handle == f"{directory}#prefix=a dog"  # The same with the space or without.


def test_a_prefix_is_part_of_a_saved_model(make_directory, tmp_path):
    handle = f"{make_directory()}#prefix=a dog"
    text.convert(handle, tmp_path / "converted")
    expected = text.load_encoder(handle)(["running", " "])
    vectors = text.load_encoder(str(tmp_path / "converted"))(["running", " "])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_a_prompt_of_the_model_is_chosen_by_name(make_directory):
    directory = make_directory()
    settings = {"prompts": {"query": "a ", "passage": "dogs"}, "default_prompt_name": "passage"}
    (directory / "config_sentence_transformers.json").write_text(json.dumps(settings))
    chosen = text.load_encoder(f"{directory}#prompt=query")
    expected = text.load_encoder(f"{directory}#prefix=a")(["dog"])
    np.testing.assert_array_equal(chosen(["dog"]), expected)
    assert chosen.name == "tiny-bert-query"
    with pytest.raises(InputError, match="received 'querry'; did you mean 'query'"):
        text.load_encoder(f"{directory}#prompt=querry")


def test_a_model_without_prompts_has_none_to_choose(make_directory):
    with pytest.raises(InputError, match="it has none, #prefix=TEXT"):
        text.load_encoder(f"{make_directory()}#prompt=query")


def test_a_pooling_that_leaves_the_prompt_out_is_refused(make_directory):
    directory = make_directory()
    pooling = {"pooling_mode": "mean", "include_prompt": False}
    (directory / "1_Pooling/config.json").write_text(json.dumps(pooling))
    text.load_encoder(str(directory))
    with pytest.raises(InputError, match="include_prompt false and the prompt 'query: '"):
        text.load_encoder(f"{directory}#prefix=query:")


def test_other_kinds_have_no_prefix(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    for handle in (str(tmp_path), "https://127.0.0.1:9/use/4", "lexical"):
        with pytest.raises(InputError, match="#prefix=query: behind another handle"):
            text.load_encoder(f"{handle}#prefix=query:")


def test_a_directory_may_have_the_sign_in_its_name(make_directory):
    directory = make_directory()
    other = directory.rename(directory.with_name("mini#prefix=x"))
    assert text.load_encoder(str(other)).handle == str(other)
