"""Search by text: from an export and a folder to the images, and what is said where that fails."""

import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny_data, tiny_encoder
from PIL import Image

from xsample_tf import evaluation, search, text
from xsample_tf.errors import InputError
from xsample_tf.export import caption_side, export

SIZE = 8
CAPTIONS = ["dogs", "grass", "running"]


def mean_color() -> keras.Model:
    image = keras.Input([SIZE, SIZE, 3])
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))


def fit(encoder: text.TextEncoder) -> evaluation.CaptionMap:
    """Fits the map on colours in noise: red is dogs, green grass, blue running."""
    labels = np.arange(300) % len(CAPTIONS)
    noise = np.random.default_rng(0).normal(size=(300, 3))
    colors = tiny_data.COLORS[labels] / 255 + 0.02 * noise
    return evaluation.fit_caption_map(colors.astype("float32"), encoder(CAPTIONS)[labels])


def write_export(directory, encoder: text.TextEncoder, log=lambda line: None):
    side = caption_side(fit(encoder), encoder, log)
    export(mean_color(), directory, SIZE, texts=side)
    return directory


@pytest.fixture(scope="module")
def sentence_encoder(tmp_path_factory):
    directory = tiny_encoder.write(tmp_path_factory.mktemp("text") / "tiny")
    return text.load_encoder(str(directory))


@pytest.fixture(scope="module")
def exported(tmp_path_factory, sentence_encoder):
    """By text encoder: one that runs in TensorFlow, and one that does not."""
    directory = tmp_path_factory.mktemp("exports")
    return {
        "sentence": write_export(directory / "sentence", sentence_encoder),
        "lexical": write_export(directory / "lexical", text.load_encoder("lexical")),
    }


@pytest.fixture
def photos(tmp_path):
    """An image of each colour, one of them in a folder of its own, and two that are none."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, color in enumerate(tiny_data.COLORS[:3]):
        parent = folder / "more" if number == 2 else folder
        ending = "webp" if number == 1 else "jpg"
        picture = Image.new("RGB", (30 + number, 20), tuple(map(int, color)))
        picture.save(parent / f"{number}.{ending}", quality=95)
    (folder / "notes.txt").write_text("no image")
    (folder / "cut.jpg").write_bytes((folder / "0.jpg").read_bytes()[:200])
    (folder / ".hidden.jpg").write_bytes(b"")
    return folder


@pytest.mark.parametrize("kind", ["sentence", "lexical"])
def test_captions_find_the_images_that_they_are_of(exported, photos, kind):
    model = search.load(exported[kind])
    index = search.index_folder(model, photos, log=lambda line: None)
    names = [found[0].path.name for found in index.find(CAPTIONS, top=1)]
    assert names == ["0.jpg", "1.webp", "2.jpg"]
    assert len(index.paths) == 3 and sum(index.left_out.values()) == 2
    assert index.left_out["not_an_image"] == 1 and index.left_out["undecodable"] == 1
    (found,) = index.find("dogs", top=99)
    assert len(found) == 3
    cosines = [image.cosine for image in found]
    assert cosines == sorted(cosines, reverse=True) and -1 <= cosines[-1] < cosines[0] <= 1.001


def test_the_export_alone_gives_what_the_map_says(exported, sentence_encoder):
    """The signatures against the map in NumPy."""
    directory = exported["sentence"]
    random = np.random.default_rng(3)
    colors = random.random((5, 3)).astype("float32")
    images = np.broadcast_to(colors[:, None, None], (5, SIZE, SIZE, 3))
    model = tf.saved_model.load(str(directory / "saved_model")).signatures
    assert "embed_text" not in model
    given = model["serving_default"](images=tf.constant(images))
    np.testing.assert_allclose(given["embedding"], colors, atol=1e-5)
    fitted = fit(sentence_encoder)
    expected = fitted.of_images(colors)
    np.testing.assert_allclose(given["caption_embedding"], expected, atol=1e-4)
    texts = tf.saved_model.load(str(directory / "text_model")).signatures
    vectors = sentence_encoder(["dogs on grass", " "])
    expected = fitted.of_captions(vectors[:1])
    for name, values in (("embed_vectors", vectors), ("embed_text", ["dogs on grass", " "])):
        embedding = texts[name](tf.constant(values))["embedding"].numpy()
        np.testing.assert_allclose(embedding[:1], expected, atol=1e-5)
        np.testing.assert_array_equal(embedding[1], 0)
    card = json.loads((directory / "model_card.json").read_text())
    assert card["embedding_size"] == 3 and card["caption_embedding_size"] == 24
    assert card["text_encoder"] == {"name": "tiny", "handle": sentence_encoder.handle}


def test_vectors_are_kept_and_only_what_changed_is_embedded_again(exported, photos, tmp_path):
    model = search.load(exported["lexical"])
    embedded = []
    embed = model.embed_files
    model.embed_files = lambda contents: embedded.append(len(contents)) or embed(contents)
    lines = []
    for _ in range(2):
        index = search.index_folder(model, photos, tmp_path, lines.append)
    assert embedded == [3]
    assert "5 files, 5 of them embedded now" in lines[0] and "5 files, 0 of them" in lines[1]
    assert index.left_out == {"not_an_image": 1, "undecodable": 1}
    expected = search.index_folder(model, photos, log=lines.append)
    np.testing.assert_array_equal(index.vectors, expected.vectors)
    (photos / "0.jpg").unlink()
    Image.new("RGB", (9, 9), "white").save(photos / "1.webp")
    index = search.index_folder(model, photos, tmp_path, lines.append)
    assert embedded == [3, 3, 1] and len(index.paths) == 2
    # Another model has vectors of its own, and a damaged file is told and replaced.
    search.index_folder(search.load(exported["sentence"]), photos, tmp_path, lines.append)
    caches = sorted(tmp_path.glob("vectors-*.npz"))
    assert len(caches) == 2
    for cache in caches:
        cache.write_bytes(b"PK damaged")
    assert len(search.index_folder(model, photos, tmp_path, lines.append).paths) == 2
    assert "all images are embedded again" in lines[-2]


def test_a_text_encoder_that_is_not_at_hand_is_named(exported, sentence_encoder, tmp_path):
    with pytest.raises(InputError, match="text_encoder: .*nowhere.*with lexical, .*--text_encoder"):
        search.load(exported["lexical"], text_encoder="/nowhere")
    with pytest.raises(InputError, match="expected the one of the model's captions"):
        search.load(exported["lexical"], text_encoder=sentence_encoder.handle)
    # One that has moved is named by hand; it is known by its vectors.
    other = tiny_encoder.write(tmp_path / "moved")
    model = search.load(exported["sentence"], text_encoder=str(other))
    np.testing.assert_allclose(
        model.embed_captions(["a dog"]),
        search.load(exported["sentence"]).embed_captions(["a dog"]),
        atol=1e-5,
    )
    max_pooled = tiny_encoder.write(tmp_path / "other", pooling="max")
    with pytest.raises(InputError, match="expected the one of the model's captions"):
        search.load(exported["sentence"], text_encoder=str(max_pooled))


def test_an_export_without_its_text_encoder_says_so(tmp_path):
    lines = []
    write_export(tmp_path / "export", text.load_encoder("lexical"), lines.append)
    assert lines == [
        "embed_text is left out of the export: the text encoder 'lexical' is no sentence "
        "transformer, which alone is a function of TensorFlow"
    ]
    signatures = tf.saved_model.load(str(tmp_path / "export" / "text_model")).signatures
    assert set(signatures) == {"embed_vectors"}


def test_what_cannot_be_searched_is_one_line(exported, tmp_path):
    export(mean_color(), tmp_path / "plain", SIZE)
    with pytest.raises(InputError, match="model: expected an export that is searched by text") as e:
        search.load(tmp_path / "plain")
    assert "--caption_map" in str(e.value) and "\n" not in str(e.value)
    model = search.load(exported["lexical"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no image")
    for folder, message in (
        ("missing", "images: expected a folder of images, received '.*missing'"),
        ("empty", "images: expected a folder of images, received an empty one"),
        ("texts", r"images: expected images in .*, received none \(1 not_an_image\)"),
    ):
        with pytest.raises(InputError, match=message):
            search.index_folder(model, tmp_path / folder, log=lambda line: None)
    for captions, message in (
        ([], "caption: expected what to look for, received none"),
        (["a dog", " "], "caption: expected what to look for, received ' '"),
        (["!!!"], "caption: expected words that the text encoder knows, received '!!!'"),
    ):
        with pytest.raises(InputError, match=message):
            model.embed_captions(captions)


def code_of(repository, page: str, mark: str) -> str:
    content = (repository / "docs" / page).read_text(encoding="utf-8")
    return re.search(rf"<!-- {mark} -->\n```python\n(.*?)```", content, re.DOTALL).group(1)


def test_the_guide_finds_photos_by_tensorflow_alone(repository, exported, photos, tmp_path):
    for bad in ("cut.jpg", ".hidden.jpg"):
        (photos / bad).unlink()
    code = code_of(repository, "search.md", "search")
    for old, new in (
        ("runs/photos/export", exported["sentence"]),
        ("PHOTOS", photos),
        ("a dog on a beach", "dogs"),
        ("*.jpg", "**/*.jpg"),
    ):
        assert old in code
        code = code.replace(old, str(new))
    alone = "import sys\nsys.modules['xsample_tf'] = None\n"
    (tmp_path / "guide.py").write_text(alone + code)
    command = [sys.executable, str(tmp_path / "guide.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = [line.rpartition("/")[2] for line in done.stdout.splitlines()]
    assert names == ["0.jpg", "2.jpg"]
    model = search.load(exported["sentence"])
    (found,) = search.index_folder(model, photos, log=lambda line: None).find("dogs", top=1)
    assert float(done.stdout.split()[0]) == pytest.approx(found[0].cosine, abs=2e-3)


def test_the_guide_of_devices_runs(repository, exported, tmp_path, monkeypatch):
    code = code_of(repository, "evaluation.md", "tflite")
    # The size first: a temporary folder's own name can hold "32".
    code = code.replace("32", "8").replace("runs/photos/export", str(exported["lexical"]))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "evaluation.md", "exec"), names)
    np.testing.assert_allclose(names["embedding"], np.zeros((1, 3)), atol=1e-6)


@pytest.mark.slow  # Two processes of 5 s.
def test_the_tool_writes_a_sheet_and_answers_the_next_caption_from_what_it_kept(
    repository, exported, photos, tmp_path
):
    def run(*captions):
        command = [sys.executable, repository / "tools" / "search.py", f"--images={photos}"]
        command += [f"--model={exported['lexical']}", f"--output={tmp_path / 'out' / 'found.png'}"]
        command += [f"--caption={caption}" for caption in captions]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True)

    done = run("dogs", "grass")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "left out: 1 undecodable, 1 not_an_image" in done.stdout.replace(
        "1 not_an_image, 1 undecodable", "1 undecodable, 1 not_an_image"
    )
    assert lines[lines.index("dogs") + 1].endswith("/0.jpg")
    assert lines[lines.index("grass") + 1].endswith("/1.webp")
    sheet = np.asarray(Image.open(tmp_path / "out" / "found.png"))
    # The first image of each row: red, then green.
    colors = [sheet[8 + row * (sheet.shape[0] - 8) // 2 + 50, 8 + 120 + 50] for row in range(2)]
    assert [int(np.argmax(color)) for color in colors] == [0, 1]
    bad = run("")
    assert bad.returncode == 2
    assert bad.stderr.strip() == "error: caption: expected what to look for, received ''"
