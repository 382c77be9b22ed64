import base64
import json

import pytest
from helpers import lines, saved_encoder

from xsample_tf.errors import InputError
from xsample_tf.text.tokenizers import read_tokenizer, sentencepiece_model
from xsample_tf.text.tokenizers.unigram import UnigramTokenizer

CONFIG = {"model_type": "xlm-roberta"}
PIECES = [("<s>", 0), ("<pad>", 0), ("</s>", 0), ("<unk>", 0), ("▁", -4), ("▁a", -1), ("▁dog", -2)]
PIECES += [("s", -3), ("dog", -5), ("ﬁ", -5), ("fi", -5), ("<mask>", 0)]


def ids(tokenizer, *captions):
    return tokenizer([caption.encode() for caption in captions]).to_list()


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a dog", [0, 5, 6, 2]),
        ("  a \t dogs\n", [0, 5, 6, 7, 2]),
        ("a\u3000dog", [0, 5, 6, 2]),
        ("", [0, 2]),
        ("猫猫 dog", [0, 4, 3, 6, 2]),  # Unknown characters in a row are one token.
        ("Dog", [0, 4, 3, 2]),
        ("<mask> </s>", [0, 4, 3, 7, 3, 4, 3, 7, 3, 2]),  # Special tokens are ordinary text.
        ("ﬁ", [0, 4, 9, 2]),
    ],
)
def test_ids(caption, expected):
    assert ids(UnigramTokenizer(PIECES, 20), caption) == [expected]


def test_rules_come_first():
    charsmap = sentencepiece_model.parse(saved_encoder.sentencepiece_model()).charsmap
    assert ids(UnigramTokenizer(PIECES, 20, charsmap), "ﬁ") == [[0, 4, 10, 2]]


def test_letters_can_be_lower_cased():
    assert ids(UnigramTokenizer(PIECES, 20, lowercase=True), "A DOGS") == [[0, 5, 6, 7, 2]]


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (PIECES[1:], "special token '<s>'"),
        ([*PIECES, ("a", -1), ("a", -1)], "pieces of a Unigram model"),
        ([*PIECES, ("", -1)], "pieces of a Unigram model"),
    ],
)
def test_pieces_that_make_no_model(pieces, message):
    with pytest.raises(InputError, match=message) as error:
        UnigramTokenizer(pieces, 20)
    assert "\n" not in str(error.value)


@pytest.fixture
def directory(tmp_path):
    """XLM-R's, with SentencePiece's file in place of tokenizer.json."""
    (tmp_path / "sentencepiece.bpe.model").write_bytes(saved_encoder.sentencepiece_model())
    return tmp_path


def read(directory):
    return read_tokenizer(str(directory), CONFIG, "XLMRobertaTokenizer")(1000)


def test_the_file_of_sentencepiece_gives_the_same_ids(directory):
    oracle = saved_encoder.oracle("xlm-roberta")
    captions = lines.lines(1000)[: len(oracle["ids"])]
    assert ids(read(directory), *captions) == oracle["ids"]
    assert read(directory).size == 800


@pytest.mark.parametrize("end", [1000, -3])
def test_damaged_file_of_sentencepiece(directory, end):
    path = directory / "sentencepiece.bpe.model"
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(InputError, match="sentencepiece.bpe.model is damaged"):
        read(directory)


def test_another_kind_of_sentencepiece_model_is_refused(directory):
    path = directory / "sentencepiece.bpe.model"
    model = sentencepiece_model.parse(path.read_bytes())
    bpe = sentencepiece_model.Model(model.pieces, model.charsmap, type=2)
    path.write_bytes(sentencepiece_model.serialize(bpe))
    with pytest.raises(InputError, match=r"model type 1 \(Unigram\), received 2 in sentencepiece"):
        read(directory)


def test_words_of_the_user_in_a_sentencepiece_model_are_refused(directory):
    path = directory / "sentencepiece.bpe.model"
    model = sentencepiece_model.parse(path.read_bytes())
    pieces = [*model.pieces, sentencepiece_model.Piece("<dog>", 0.0, type=4)]
    path.write_bytes(
        sentencepiece_model.serialize(sentencepiece_model.Model(pieces, model.charsmap))
    )
    with pytest.raises(InputError, match="'<dog>' of type 4"):
        read(directory)


def test_no_vocabulary(tmp_path):
    with pytest.raises(
        InputError, match="tokenizer.json or sentencepiece.bpe.model, found neither"
    ):
        read(tmp_path)


def content(**changes):
    """The content of tokenizer.json, changed."""
    charsmap = sentencepiece_model.parse(saved_encoder.sentencepiece_model()).charsmap
    found = saved_encoder.oracle("xlm-roberta")["files"]["tokenizer.json"]
    found["normalizer"]["precompiled_charsmap"] = base64.b64encode(charsmap).decode()
    return found | {key: change(found[key]) for key, change in changes.items()}


def replace(pattern):
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": " "}


def test_other_forms_of_the_same_parts(tmp_path):
    caption = "a dog  runs ﬁne"
    (tmp_path / "tokenizer.json").write_text(json.dumps(content()))
    expected = ids(read(tmp_path), caption)
    changed = content(
        normalizer=lambda part: {"type": "Sequence", "normalizers": [part, replace(" {2,}")]},
        pre_tokenizer=lambda part: part["pretokenizers"][1],
    )
    (tmp_path / "tokenizer.json").write_text(json.dumps(changed))
    assert ids(read(tmp_path), caption) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalizer": lambda part: {"type": "NFKC"}}, "Precompiled .*received NFKC"),
        (
            {"normalizer": lambda p: {"type": "Sequence", "normalizers": [p, replace("a")]}},
            "a Replace of the pattern",
        ),
        ({"pre_tokenizer": lambda part: {"type": "Whitespace"}}, "received Whitespace"),
        (
            {"pre_tokenizer": lambda part: part["pretokenizers"][1] | {"prepend_scheme": "first"}},
            "prepend_scheme 'always', received 'first'",
        ),
        (
            {"pre_tokenizer": lambda part: part["pretokenizers"][1] | {"replacement": "_"}},
            "replacement '▁', received '_'",
        ),
        ({"model": lambda part: part | {"byte_fallback": True}}, "byte_fallback False"),
        ({"model": lambda part: part | {"vocab": [["a"]]}}, "expected pieces"),
        ({"normalizer": lambda part: part | {"precompiled_charsmap": "?"}}, "precompiled_charsmap"),
    ],
)
def test_parts_that_are_not_implemented(tmp_path, changes, message):
    (tmp_path / "tokenizer.json").write_text(json.dumps(content(**changes)))
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path)
    assert "\n" not in str(error.value)


def test_damaged_rules():
    with pytest.raises(InputError, match="trie of"):
        UnigramTokenizer(PIECES, 20, charsmap=b"\xff" * 20)
