import functools
import json

import pytest
from helpers import lines, saved_encoder

from xsample_tf.errors import InputError
from xsample_tf.text.tokenizers import byte_bpe, read_tokenizer

LETTERS = byte_bpe.byte_letters()
MERGES = (("d", "o"), ("do", "g"), ("Ġ", "dog"), ("a", "a"), ("aa", "aa"), ("o", "g"), ("Ġ", "a"))
TOKENS = ["<s>", "</s>", *LETTERS, *("".join(pair) for pair in MERGES)]
VOCABULARY = {token: place for place, token in enumerate(TOKENS)}


@functools.cache  # Each makes a graph.
def tokenizer(max_length=50, merges=MERGES, **arguments):
    return byte_bpe.ByteBPETokenizer(VOCABULARY, merges, max_length, **arguments)


def tokens(caption, **arguments):
    ids = tokenizer(**arguments)([caption.encode()]).to_list()[0]
    assert (ids[0], ids[-1]) == (0, 1)
    return " ".join(TOKENS[place] for place in ids[1:-1])


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("dog dog", "dog Ġdog"),
        ("a dog", "a Ġdog"),
        ("og dg", "og Ġ d g"),
        ("aaaaa", "aaaa a"),
        ("aaa", "aa a"),
        ("é", "Ã ©"),
        ("", ""),
        ("<s>", "< s >"),  # Special tokens are ordinary text.
        ("a\U0010ffffa", "aa"),
    ],
)
def test_merges(caption, expected):
    assert tokens(caption) == expected


def test_the_first_of_two_merges_of_a_pair_counts():
    assert tokens("dog", merges=(*MERGES, ("d", "o"))) == "dog"


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("it's we'll IT'S", ["it", "'s", " we", "'ll", " IT", "'", "S"]),
        ("a  b", ["a", " ", " b"]),
        ("a \n b", ["a", " \n", " b"]),
        ("a\nb", ["a", "\n", "b"]),
        ("a \u3000b", ["a", " ", "\u3000", "b"]),
        (" a ", [" a", " "]),
        ("x2.5%", ["x", "2", ".", "5", "%"]),
        ("ab १२६ ², ÷", ["ab", " १२६", " ²", ",", " ÷"]),
        ("हिन्दी", ["ह", "ि", "न", "्", "द", "ी"]),
        ("🐶🐶 🐶", ["🐶🐶", " 🐶"]),
        ("   ", ["   "]),
    ],
)
def test_words_are_gpt_2s(caption, expected):
    # Checked once against ByteLevel of Hugging Face's tokenizers 0.23.
    found = tokenizer().words([caption.encode()]).to_list()[0]
    assert [word.decode() for word in found] == expected


@pytest.mark.parametrize(
    ("caption", "expected"), [("dog", "Ġdog"), (" dog", "Ġdog"), ("\ndog", "Ċ dog")]
)
def test_a_space_can_stand_before(caption, expected):
    assert tokens(caption, space_first=True) == expected


def test_letters_can_be_lower_cased():
    assert tokens("DOG DOG", lowercase=True) == "dog Ġdog"


def test_captions_do_not_touch():
    found = tokenizer()([b"d", b"og", b"", b"dog d", b"o"]).to_list()
    assert found == [tokenizer()([one]).to_list()[0] for one in (b"d", b"og", b"", b"dog d", b"o")]


def test_a_very_long_word_ends():
    found = tokenizer(max_length=10_000)([b"a" * 1_000_000, b"dog"]).to_list()
    assert len(found[0]) == 2 + 2048 // 4 and found[1] == [0, VOCABULARY["dog"], 1]


def test_a_vocabulary_without_all_bytes_is_refused():
    vocabulary = {token: place for token, place in VOCABULARY.items() if token != "Ã"}
    with pytest.raises(InputError, match="all bytes.*none 'Ã'"):
        byte_bpe.ByteBPETokenizer(vocabulary, MERGES, 9)
    with pytest.raises(InputError, match="none 'zz'"):
        tokenizer(merges=(("z", "z"),))
    with pytest.raises(InputError, match="special token '<x>'"):
        tokenizer(special=("<x>", "</s>"))


@pytest.fixture
def content():
    return saved_encoder.oracle("roberta")["files"]["tokenizer.json"]


def read(directory):
    config = {"model_type": "roberta"}
    return read_tokenizer(str(directory), config, "RobertaTokenizer")(1000)


def test_files_of_their_own_give_the_same_ids(tmp_path, content):
    oracle = saved_encoder.oracle("roberta")
    captions = [caption.encode() for caption in lines.lines(1000)[: len(oracle["ids"])]]
    model = content["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [" ".join(pair) for pair in model["merges"]]
    text = "\n".join(["#version: 0.2", *merges, ""])
    (tmp_path / "merges.txt").write_text(text, encoding="utf-8")
    assert read(tmp_path)(captions).to_list() == oracle["ids"]
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(InputError, match="vocab.json and merges.txt, found neither"):
        read(tmp_path)


def test_merges_of_older_files(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    expected = read(tmp_path)([b"two dogs"]).to_list()
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert read(tmp_path)([b"two dogs"]).to_list() == expected


def test_the_class_decides_on_the_space_before(tmp_path, content):
    content["pre_tokenizer"]["add_prefix_space"] = True
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    without = read(tmp_path)([b"dog"]).to_list()
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "TokenizersBackend"}')
    generic = read(tmp_path)([b"dog"]).to_list()
    settings = '{"tokenizer_class": "RobertaTokenizer", "add_prefix_space": true}'
    (tmp_path / "tokenizer_config.json").write_text(settings)
    assert generic == read(tmp_path)([b"dog"]).to_list() == read(tmp_path)([b" dog"]).to_list()
    assert without != generic


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("normalizer", {"type": "NFC"}, "normalizer none, received NFC"),
        ("pre_tokenizer", {"type": "Whitespace"}, "ByteLevel, received Whitespace"),
        ("pre_tokenizer", {"use_regex": False}, "use_regex True, received False"),
        ("model", {"end_of_word_suffix": "</w>"}, "end_of_word_suffix None, received '</w>'"),
        ("model", {"ignore_merges": True}, "ignore_merges False, received True"),
        ("model", {"byte_fallback": True}, "byte_fallback False"),
        ("model", {"dropout": 0.1}, "dropout None"),
    ],
)
def test_parts_that_are_not_implemented(tmp_path, content, part, changes, message):
    content[part] = (content[part] or {}) | changes
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path)
    assert "\n" not in str(error.value)
