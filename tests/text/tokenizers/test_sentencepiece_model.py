import pytest
from helpers import saved_encoder

from xsample_tf.text.tokenizers import sentencepiece_model
from xsample_tf.text.tokenizers.sentencepiece_model import CONTROL, NORMAL, UNKNOWN, Model, Piece

sentencepiece = pytest.importorskip("sentencepiece")  # keras-hub brings it.

PIECES = [
    Piece("<unk>", 0.0, UNKNOWN),
    Piece("<s>", 0.0, CONTROL),
    Piece("▁", -2.5),
    Piece("犬" * 100, -3.25),  # A length of two bytes.
]


def test_what_is_written_is_read():
    model = Model(PIECES, b"rules\0" * 100, type=2)
    assert sentencepiece_model.parse(sentencepiece_model.serialize(model)) == model


def test_sentencepiece_reads_what_is_written():
    rules = sentencepiece_model.parse(saved_encoder.sentencepiece_model()).charsmap
    written = sentencepiece_model.serialize(Model(PIECES, rules))
    processor = sentencepiece.SentencePieceProcessor(model_proto=written)
    found = [processor.id_to_piece(place) for place in range(processor.get_piece_size())]
    assert found == [piece.text for piece in PIECES]
    assert [processor.get_score(place) for place in range(4)] == [0, 0, -2.5, -3.25]
    assert processor.is_unknown(0) and processor.is_control(1) and not processor.is_control(2)
    assert processor.encode("犬" * 100) == [2, 3] and processor.encode("猫") == [2, 0]


def test_what_sentencepiece_wrote_is_read():
    content = saved_encoder.sentencepiece_model()
    processor = sentencepiece.SentencePieceProcessor(model_proto=content)
    model = sentencepiece_model.parse(content)
    assert len(model.pieces) == processor.get_piece_size() == 798
    for place, piece in enumerate(model.pieces):
        assert piece.text == processor.id_to_piece(place)
        assert piece.score == processor.get_score(place)
    assert {piece.type for piece in model.pieces} == {NORMAL, UNKNOWN, CONTROL}
    assert model.type == sentencepiece_model.UNIGRAM


@pytest.mark.parametrize("content", [b"\x0a", b"\x0a\x7f", b"\x0b", b"\xff\xff"])
def test_damaged(content):
    with pytest.raises(ValueError, match="the end is missing|wire type"):
        sentencepiece_model.parse(content)
