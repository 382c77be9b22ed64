import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xsample_tf.errors import InputError
from xsample_tf.text.tokenizers.wordpiece import WordPieceTokenizer

SPECIAL = ["[UNK]", "[CLS]", "[SEP]"]


def words(caption, lowercase=True, strip_accents=True, split_cjk=True):
    tokenizer = WordPieceTokenizer(SPECIAL, 512, lowercase, strip_accents, split_cjk)
    found = tokenizer.words([caption.encode("utf-8", "ignore")]).to_list()[0]
    return [word.decode() for word in found]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Crème BRÛLÉE — a café's", "creme brulee — a cafe ' s"),
        ("a\u200bb\tc\nd\x07e\u00a0f\u2028g", "ab c de f g"),
        ("$5 snake_case #x ~^`|", "$ 5 snake _ case # x ~ ^ ` |"),
        ("一只dog", "一 只 dog"),
        ("İstanbul ẞ ΣΑΣ", "istanbul ß σασ"),
        ("ﬁne ½ 🐶 \ufffd\ud800", "ﬁne ½ 🐶"),
        ("co\u00adop", "coop"),
    ],
)
def test_words_are_those_of_bert(caption, expected):
    # Checked once against Hugging Face's BertTokenizer, all-MiniLM-L6-v2.
    assert words(caption) == expected.split()


def test_settings_are_kept_apart():
    assert words("É狗A", False, False, False) == ["É狗A"]
    assert words("É狗A", True, False, False) == ["é狗a"]
    assert words("É狗A", False, False, True) == ["É", "狗", "A"]


def _by_character(caption, lowercase, strip_accents):
    """The words by the rules of BERT's reference tokenizer, a character at a time."""
    spaced = ""
    for character in unicodedata.normalize("NFD", caption) if strip_accents else caption:
        category = unicodedata.category(character)
        if character in "\t\n\r" or category[0] == "Z":
            spaced += " "
        elif category[0] == "C" or character == "\ufffd" or (strip_accents and category == "Mn"):
            continue
        elif category[0] == "P" or (ord(character) < 128 and not character.isalnum()):
            spaced += f" {character} "
        else:
            spaced += character.lower() if lowercase else character
    return spaced.split(" ")


# Unassigned code points, and CJK, which the reference above does not know, stay out.
CHARACTERS = st.characters(max_codepoint=0x2FFF, exclude_categories=["Cn", "Cs"])


@settings(max_examples=50, deadline=None)
@given(st.text(CHARACTERS, max_size=60), st.booleans(), st.booleans())
def test_words_of_any_characters(caption, lowercase, strip_accents):
    expected = [word for word in _by_character(caption, lowercase, strip_accents) if word]
    assert words(caption, lowercase, strip_accents) == expected


@pytest.fixture(scope="module")
def tokenizer():
    tokens = [*"[PAD] [UNK] [CLS] [SEP] a dog ##s run ##ning .".split(), "b" * 100, "c" * 101]
    return WordPieceTokenizer(tokens, max_length=8)


@pytest.mark.parametrize(
    ("caption", "ids"),
    [
        ("a dog.", [2, 4, 5, 9, 3]),
        ("dogs running", [2, 5, 6, 7, 8, 3]),
        ("cat", [2, 1, 3]),
        ("dogz", [2, 1, 3]),
        ("a a a a a a a a", [2, 4, 4, 4, 4, 4, 4, 3]),
        ("running running running running", [2, 7, 8, 7, 8, 7, 8, 3]),
        ("b" * 100, [2, 10, 3]),
        ("c" * 101, [2, 1, 3]),
        ("[SEP]", [2, 1, 1, 1, 3]),
        ("\u200b", [2, 3]),
    ],
)
def test_ids(tokenizer, caption, ids):
    assert tokenizer([caption.encode()]).to_list() == [ids]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_any_text_has_a_beginning_and_an_end(tokenizer, captions):
    rows = tokenizer([caption.encode() for caption in captions]).to_list()
    assert len(rows) == len(captions)
    for row in rows:
        assert row[0] == 2 and row[-1] == 3 and len(row) <= 8
        assert set(row[1:-1]).isdisjoint({0, 2, 3})


def test_missing_special_token_is_named():
    with pytest.raises(InputError, match=r"\[UNK\]"):
        WordPieceTokenizer(["[CLS]", "[SEP]", "a"], 8)


def test_token_that_is_there_twice_is_named():
    with pytest.raises(InputError, match="'a' twice"):
        WordPieceTokenizer(["[UNK]", "[CLS]", "[SEP]", "a", "a"], 8)
