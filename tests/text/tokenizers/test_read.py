"""What is not implemented is refused by its name; what is, is read as transformers reads it."""

import json

import pytest

from xsample_tf import text
from xsample_tf.errors import InputError
from xsample_tf.text.tokenizers import read_tokenizer


def edit(path, **changes):
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(content | changes), encoding="utf-8")


def ids(directory, caption, **arguments):
    make = read_tokenizer(str(directory), {"model_type": "bert"}, "BertTokenizer", **arguments)
    return make(12)([caption.encode()]).to_list()[0]


@pytest.fixture
def directory(make_directory):
    directory = make_directory(version=6)
    (directory / "vocab.txt").unlink(missing_ok=True)
    (directory / "model.safetensors").unlink()  # The tokenizer is read before.
    return directory


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"tokenizer_class": "BertJapaneseTokenizer"},
            "class BertTokenizer, .*received BertJapaneseTokenizer in tokenizer_config.json",
        ),
        ({"tokenizer_class": "T5TokenizerFast"}, "received T5TokenizerFast"),
        ({"word_tokenizer_type": "mecab"}, "word_tokenizer_type 'basic', received 'mecab'"),
        ({"auto_map": {"AutoTokenizer": ["code.Tokens", None]}}, "code of its own"),
    ],
)
def test_class_is_refused_by_name(directory, settings, message):
    edit(directory / "tokenizer_config.json", **settings)
    with pytest.raises(InputError, match=message) as error:
        text.load_encoder(str(directory))
    assert "\n" not in str(error.value) and "SavedModel" in str(error.value)


def test_class_of_the_models_configuration_counts_where_the_tokenizers_has_none(directory):
    edit(directory / "config.json", tokenizer_class="BertJapaneseTokenizer")
    with pytest.raises(InputError, match="BertJapaneseTokenizer in config.json"):
        text.load_encoder(str(directory))


NFC = {"type": "NFC"}
SPLIT = {"type": "WhitespaceSplit"}
DIGITS = {"type": "Digits", "individual_digits": True}


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("normalizer", None, "the normalizer BertNormalizer, received none in tokenizer.json"),
        ("normalizer", NFC, "received NFC"),
        ("normalizer", {"type": "Sequence", "normalizers": [NFC, NFC]}, r"Sequence\(NFC, NFC\)"),
        ("pre_tokenizer", SPLIT, "the pre_tokenizer BertPreTokenizer, received WhitespaceSplit"),
        (
            "pre_tokenizer",
            {"type": "Sequence", "pretokenizers": [SPLIT, DIGITS]},
            r"received Sequence\(WhitespaceSplit, Digits\)",
        ),
        ("post_processor", None, "the post_processor .* received none"),
        ("post_processor", {"type": "ByteLevel"}, "the post_processor .* received ByteLevel"),
        (
            "post_processor",
            {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}]},
            "received TemplateProcessing",
        ),
        ("added_tokens", [{"content": "<dog>", "special": False}], "added_tokens .*'<dog>'"),
        ("model", {"type": "WordLevel", "vocab": {}}, "the model .*WordPiece, received WordLevel"),
    ],
)
def test_part_is_refused_by_name(directory, part, value, message):
    edit(directory / "tokenizer.json", **{part: value})
    with pytest.raises(InputError, match=message) as error:
        text.load_encoder(str(directory))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("normalizer", "clean_text", False),
        ("model", "continuing_subword_prefix", "@@"),
        ("model", "max_input_chars_per_word", 200),
    ],
)
def test_setting_is_refused_by_name(directory, part, key, value):
    content = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    edit(directory / "tokenizer.json", **{part: content[part] | {key: value}})
    with pytest.raises(InputError, match=f"{key}.*received {value!r}"):
        ids(directory, "a dog")


def test_words_added_to_a_vocabulary_of_its_own_file_are_refused(make_directory):
    directory = make_directory(version=2)
    edit(directory / "added_tokens.json", **{"<dog>": 21})
    with pytest.raises(InputError, match="'<dog>'"):
        ids(directory, "a dog")


def test_generic_class_needs_tokenizer_json(make_directory):
    directory = make_directory(version=2)
    edit(directory / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(InputError, match="expected tokenizer.json.*PreTrainedTokenizerFast"):
        ids(directory, "a dog")


@pytest.mark.parametrize(
    "processor",
    [
        {"type": "BertProcessing", "cls": ["[SEP]", 3], "sep": ["[MASK]", 4]},
        {"type": "RobertaProcessing", "cls": ["[SEP]", 3], "sep": ["[MASK]", 4]},
        {
            "type": "Sequence",
            "processors": [
                {"type": "ByteLevel"},
                {"type": "BertProcessing", "cls": ["[SEP]", 3], "sep": ["[MASK]", 4]},
            ],
        },
    ],
)
def test_ends_are_those_of_the_post_processor(directory, processor):
    assert ids(directory, "a dog") == [2, 5, 6, 3]
    edit(directory / "tokenizer.json", post_processor=processor)
    assert ids(directory, "a dog") == [3, 5, 6, 4]


def test_the_model_of_an_older_file_has_no_type(directory):
    content = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    del content["model"]["type"]
    edit(directory / "tokenizer.json", model=content["model"])
    assert ids(directory, "a dog") == [2, 5, 6, 3]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("model", []),
        ("model", {"type": "BPE"}),
        ("model", {"type": "WordPiece", "vocab": {"[CLS]": "0", "[SEP]": 1}}),
        ("post_processor", {"type": "BertProcessing"}),
        ("added_tokens", [{}]),
        ("normalizer", "BertNormalizer"),
    ],
)
def test_damaged_content_gives_one_line(directory, part, value):
    edit(directory / "tokenizer.json", **{part: value})
    with pytest.raises(InputError, match="tokenizer.json") as error:
        text.load_encoder(str(directory))
    assert "\n" not in str(error.value)
