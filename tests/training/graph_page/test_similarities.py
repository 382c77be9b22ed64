"""What is measured of a graph, on data whose answers NumPy gives."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from helpers import small_run, tiny_data
from scipy.stats import spearmanr

from xsample_tf import data, graphs
from xsample_tf.training.graph_page import comparison, suspects
from xsample_tf.training.graph_page.similarities import group, measure
from xsample_tf.training.graph_page.variants import make_variants

IMAGES = 24
BUILT_IN = [
    entry.name for entry in graphs.GRAPHS if entry.make.__module__.startswith("xsample_tf.")
]


class Teacher:
    """Vectors of images by the colour of their middle."""

    name, handle, size, image_size = "teacher", "teacher", 3, 8

    def __call__(self, images):
        pixels = [tf.io.decode_png(image)[4, 4] for image in images]
        return np.asarray(pixels, np.float32) + 1


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Images of six colours with labels, caption vectors, image vectors and a taxonomy."""
    directory = tmp_path_factory.mktemp("data")
    tiny_data.write(directory, train=IMAGES, val=6)
    np.save(directory / "embeddings" / "toy" / "classes.npy", np.eye(tiny_data.SIZE)[:6])
    data.add_image_embeddings(str(directory), Teacher(), log=lambda line: None)
    lines = [f"color_{i}\t{'warm' if i < 3 else 'cold'}\n" for i in range(6)]
    (directory / "tree.tsv").write_text("".join(lines) + "warm\tall\ncold\tall\n")
    return directory


@pytest.fixture(scope="module", autouse=True)
def read_once():
    """What the graphs see is read once for all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "side_information", functools.cache(data.side_information))
        yield


def variants_of(directory, graph, compare=("", ""), **changes):
    own = {"taxonomy": str(directory / "tree.tsv")} if graph == "taxonomy" else {}
    if graph == "cosine,label":
        own = {"graph_weights": "0.7,0.3", "spurious_edges": 0.1}
    options = small_run.options(
        data_dir=(str(directory),), batch_size=16, graph=graph, own=own, **changes
    )
    dataset = data.read_dataset(directory)
    return make_variants(options, dataset, IMAGES, *compare, {})


@pytest.mark.parametrize("graph", [*BUILT_IN, "cosine,label"])
def test_every_graph_is_measured_as_it_relates_the_images(directory, graph):
    variants = variants_of(directory, graph)
    variant = variants[0]
    anchors = np.array([0, 5, 23])
    found = measure(variant, anchors)
    pairs = variant.similarity(np.arange(IMAGES)).astype(np.float64)
    assert np.isfinite(pairs).all()
    others = ~np.eye(IMAGES, dtype=bool)
    np.testing.assert_allclose(found.means, pairs[others].reshape(IMAGES, -1).mean(1), atol=1e-6)
    np.testing.assert_allclose(found.largest, pairs[others].reshape(IMAGES, -1).max(1), atol=1e-6)
    expected = pairs[anchors]
    expected[[0, 1, 2], anchors] = 1
    np.testing.assert_allclose(found.rows, expected, atol=1e-6)
    assert found.histogram().sum() == 3 * (IMAGES - 1)
    assert sorted(found.order()) == [0, 1, 2]
    assert variant.flags[0] == f"--graph={graph}"
    # The mean of the captions' vectors is said to be 0 in this data: centring changes nothing.
    assert len(variants) == 1 + (graph == "image")


def test_the_centred_graph_is_shown_where_it_is_another(scenes_directory):
    options = small_run.options(data_dir=(scenes_directory,), batch_size=16)
    variants = make_variants(options, data.read_dataset(scenes_directory), 20, "", "", {})
    assert [one.name for one in variants] == ["cosine", "cosine, centred"]
    assert variants[1].flags == ["--graph=cosine", "--center"]
    side = data.side_information(scenes_directory, "train", limit=20)["embedding"]
    mean = np.array(data.read_dataset(scenes_directory).encoder(None).mean)
    unit = (side - mean) / np.linalg.norm(side - mean, axis=1, keepdims=True)
    got = variants[1].similarity(np.arange(20))
    np.testing.assert_allclose(got, unit @ unit.T, atol=1e-5)


def test_another_graph_is_compared_whatever_the_objective_allows(directory):
    variants = variants_of(directory, "", ("label", ""), objective="simclr")
    assert [one.options.graph for one in variants] == ["instance", "label"]
    compared = comparison.compare(
        *(measure(one, np.arange(IMAGES)) for one in variants), np.arange(IMAGES)
    )
    assert compared["correlation"] is None  # All other images are alike to SimCLR.
    assert compared["overlap"] == pytest.approx(10 / 23)
    encoded = variants_of(directory, "cosine", ("", "lexical"))[-1]
    assert encoded.flags == ["--graph=cosine", "--encode_captions=lexical"]
    assert encoded.name == "cosine, lexical"


def test_groups_hold_every_similarity_and_keep_the_largest_exactly():
    random = np.random.default_rng(0)
    rows = np.concatenate([random.normal(0.1, 0.2, (5, 300)), np.ones((5, 60))], axis=1)
    rows = np.clip(rows, -1, 1).astype(np.float32)
    values, counts, ends = group(rows)
    for row, begin, end in zip(rows, [0, *ends], ends, strict=False):
        part, number = values[begin:end].astype(np.float64), counts[begin:end]
        assert number.sum() == 360 and (np.diff(part) <= 0).all()
        assert part[0] == 1 and number[part == 1].sum() == 60
        assert (part * number).sum() == pytest.approx(row.astype(np.float64).sum(), abs=1e-4)


def test_neighbours_of_one_label_stand_together(directory):
    variant = variants_of(directory, "label")[0]
    found = measure(variant, np.arange(IMAGES))
    labels = np.asarray(variant.side)
    nearest = found.neighbours(0, labels, 3)
    image, similarity, count = nearest[0]
    assert (labels[image], similarity, count) == (labels[0], 1.0, 3) and image != 0
    assert [(value, number) for _, value, number in nearest[1:]] == [(0.0, 4), (0.0, 4)]
    assert len({labels[one] for one, _, _ in nearest}) == 3


def test_agreement_is_spearmans_and_the_share_of_common_neighbours():
    random = np.random.default_rng(1)
    first = random.normal(size=(4, 30)).round(1)
    second = (first + random.normal(size=(4, 30))).round(1)
    second[3] = 0.5
    rank = comparison.rank_correlation(first, second)
    expected = [spearmanr(a, b).statistic for a, b in zip(first[:3], second[:3], strict=True)]
    np.testing.assert_allclose(rank[:3], expected)
    assert np.isnan(rank[3])
    # Ties for the last place share it: by all ways to break them.
    a, b = np.array([[3.0, 2, 1, 1, 0]]), np.array([[1.0, 2, 3, 3, 3]])
    ways = [
        len({0, 1, third} & set(pair))
        for third in (2, 3)
        for pair in itertools.combinations((2, 3, 4), 3)
    ]
    assert comparison.overlap(a, b, 3)[0] == pytest.approx(np.mean(ways) / 3)


def test_suspects_are_those_related_to_all_to_none_and_repeated():
    class Found:
        means = np.array([0.1, 0.9, 0.2, 0.8])
        largest = np.array([0.9, 0.9, 0.1, 0.5])

    hubs, isolated = suspects.extremes(Found, ["a", "b", "c", "b"])
    assert [image for image, _ in hubs] == [1, 2, 0] and hubs[0][1] == pytest.approx(0.9)
    assert [image for image, _ in isolated] == [2, 3, 0]
    Found.means = np.full(4, 0.3)
    assert suspects.extremes(Found, ["a", "b", "c", "d"])[0] == []
    found = suspects.repeated(["a", "b", "a", "a"])
    assert found["duplicates"] == [{"text": "a", "count": 3}]
    assert (found["distinct"], found["same_pairs"]) == (2, 0.5)
