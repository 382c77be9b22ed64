import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xsample_tf.data import scenes
from xsample_tf.data.scenes.captions import PLACES, SIZE_WORDS
from xsample_tf.data.scenes.choices import TEXTURES
from xsample_tf.errors import InputError

EVERY_ATTRIBUTE = {*scenes.COLOURS, *TEXTURES, *itertools.chain(*SIZE_WORDS.values())}


def _same(first, second):
    return first[1:] == second[1:] and np.array_equal(first.image, second.image)


@pytest.fixture(scope="module")
def thousands():
    return list(scenes.generate(4096, seed=5, size=16))


def test_enough_kinds_and_all_occur(thousands):
    assert len(scenes.CLASS_NAMES) >= 10
    assert len(scenes.COLOURS) >= 6
    assert len(scenes.BACKGROUND_NAMES) >= 8
    assert {scene.object for scene in thousands} == set(scenes.CLASS_NAMES)
    assert {scene.colour for scene in thousands} == set(scenes.COLOURS)
    assert {scene.background for scene in thousands} == set(scenes.BACKGROUND_NAMES)
    assert {scene.texture for scene in thousands} == set(TEXTURES)
    assert {scene.scale for scene in thousands} == set(SIZE_WORDS)


def test_fields():
    for scene in scenes.generate(70, size=33, split="test"):
        assert scene.image.shape == (33, 33, 3) and scene.image.dtype == np.uint8
        assert scene.object == scenes.CLASS_NAMES[scene.label] and type(scene.label) is int


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**70),
    size=st.sampled_from([16, 17, 24, 130]),
    split=st.sampled_from(scenes.SPLITS),
    start=st.integers(0, 200),
    cut=st.integers(1, 9),
)
def test_scene_does_not_depend_on_count_or_start(seed, size, split, start, cut):
    options = dict(seed=seed, size=size, split=split, correlation=0.5)
    whole = list(scenes.generate(10, start=start, **options))
    parts = [
        *scenes.generate(cut, start=start, **options),
        *scenes.generate(10 - cut, start=start + cut, **options),
    ]
    assert all(map(_same, whole, parts)) and len(parts) == 10


def test_content_is_the_same_at_every_size():
    small = list(scenes.generate(20, size=16))
    large = list(scenes.generate(20, size=256))
    for a, b in zip(small, large, strict=True):
        assert a[1:] == b[1:]
        reduced = b.image.reshape(16, 16, 16, 16, 3).mean((1, 3))
        # The same picture: far nearer than two pictures are, whose difference is about 60.
        assert np.abs(reduced - a.image).mean() < 25


def test_seeds_and_splits_share_no_scene():
    groups = itertools.product((0, 1), scenes.SPLITS)
    images = [
        scene.image.tobytes()
        for seed, split in groups
        for scene in scenes.generate(200, seed=seed, size=16, split=split)
    ]
    assert len(set(images)) == len(images)


def test_content_is_pinned():
    # Data sets are named by their arguments alone, so what the arguments mean must not drift.
    text = "\n".join("|".join(scene.captions) for scene in scenes.generate(64, seed=1))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "f0d069168e951f3e"


def test_images_of_one_content_vary(thousands):
    by_content = {}
    for scene in thousands:
        by_content.setdefault((scene.object, scene.background), []).append(scene.image)
    for images in by_content.values():
        stack = np.stack(images).astype(np.float32)
        assert stack.std(axis=0).mean() > 15
    assert min(scene.image.std() for scene in thousands) > 8


def test_captions_name_what_is_seen(thousands):
    for scene in thousands:
        assert len(scene.captions) == 2
        attributes = {scene.colour, scene.texture, *SIZE_WORDS[scene.scale]}
        for caption in scene.captions:
            words = caption.replace(",", "").split()
            assert scene.object in words
            assert attributes & set(words)
            assert not set(words) & (EVERY_ATTRIBUTE - attributes)
            for article, word in itertools.pairwise(words):
                assert article not in ("a", "an") or (article == "an") == (word[0] in "aeiou")
        with_place, without = scene.captions
        assert any(place in with_place for place in PLACES[scene.background])
        assert not any(place in without for place in PLACES[scene.background])
    assert all(name in phrase for name, phrases in PLACES.items() for phrase in phrases)
    assert len({caption for scene in thousands for caption in scene.captions}) > 3000


def _tied_share(**options):
    drawn = [
        scenes.CLASS_NAMES.index(scene.object) == scenes.BACKGROUND_NAMES.index(scene.background)
        for scene in scenes.generate(2048, size=16, **options)
    ]
    return np.mean(drawn)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 1.0])
def test_correlation_ties_background_in_train_alone(correlation):
    chance = 1 / len(scenes.BACKGROUND_NAMES)
    expected = correlation + (1 - correlation) * chance
    assert _tied_share(correlation=correlation) == pytest.approx(expected, abs=0.04)
    assert _tied_share(correlation=correlation, split="val") == pytest.approx(chance, abs=0.04)
    assert _tied_share(correlation=correlation, split="test") == pytest.approx(chance, abs=0.04)


@pytest.mark.parametrize("attribute", ["colour", "texture", "scale", "background"])
def test_attributes_are_independent_of_the_object(thousands, attribute):
    names = sorted({getattr(scene, attribute) for scene in thousands})
    table = np.zeros((len(scenes.CLASS_NAMES), len(names)))
    for scene in thousands:
        table[scene.label, names.index(getattr(scene, attribute))] += 1
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    chi_squared = (np.square(table - expected) / expected).sum()
    assert chi_squared < freedom + 4 * np.sqrt(2 * freedom)


def test_colours_do_not_tell_the_object(thousands):
    # The nearest class mean of 4x4x4 colour histograms: a shortcut would stand far above chance.
    codes = np.stack([scene.image.reshape(-1, 3) // 64 @ (16, 4, 1) for scene in thousands])
    features = np.stack([np.bincount(row, minlength=64) for row in codes]) / codes.shape[1]
    labels = np.array([scene.label for scene in thousands])
    means = np.stack([features[:2048][labels[:2048] == k].mean(0) for k in range(labels.max() + 1)])
    distances = np.square(features[2048:, None] - means).sum(-1)
    assert np.mean(distances.argmin(1) == labels[2048:]) < 2 / len(means)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(count=0), "count: expected a whole number of at least 1, received 0"),
        (dict(count=2.5), "count: expected a whole number of at least 1, received 2.5"),
        (dict(count="9"), "count: expected a whole number of at least 1, received '9'"),
        (dict(count=1, seed=-1), "seed: expected a whole number of at least 0, received -1"),
        (dict(count=1, start=-1), "start: expected a whole number of at least 0"),
        (dict(count=1, size=15), "size: expected a whole number from 16 to 1024, received 15"),
        (dict(count=1, size=4096), "size: expected a whole number from 16 to 1024"),
        (dict(count=1, split="trian"), "unknown split 'trian'; did you mean 'train'"),
        (dict(count=1, split=None), "unknown split None"),
        (dict(count=1, correlation=1.5), "correlation: expected a number in [0, 1], received 1.5"),
        (dict(count=1, correlation=float("nan")), "correlation: expected a number in [0, 1]"),
        (dict(count=1, correlation="high"), "correlation: expected a number in [0, 1]"),
    ],
)
def test_bad_arguments_are_named_at_the_call(arguments, message):
    with pytest.raises(InputError) as error:
        scenes.generate(**arguments)
    assert message in str(error.value) and "\n" not in str(error.value)
