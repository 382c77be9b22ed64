"""Taxonomies: the measures by hand, the built-in lists, files of one's own, and what is refused."""

import json

import numpy as np
import pytest

from xsample_tf import graphs
from xsample_tf.errors import InputError
from xsample_tf.graphs.parent_list import read_taxonomy

# A root, two branches, and a node with two parents.
LIST = """# CLASS<TAB>PARENT
dog\tanimal\thound|mutt
cat\tanimal
animal\tthing
car\tvehicle
vehicle\tthing
toy dog\tdog
toy dog\tvehicle
"""


@pytest.fixture
def parents(tmp_path):
    path = tmp_path / "parents.tsv"
    path.write_text(LIST, encoding="utf-8")
    return str(path)


def table(parents, names, measure="wu_palmer"):
    return graphs.TaxonomyGraph.from_taxonomy(parents, names, measure).table


def test_the_measures_are_those_that_are_counted_by_hand(parents):
    names = ("Dog", "cat", "car", "toy_dog", "animal")
    # Edges between classes over their nearest common ancestor.
    edges = np.array(
        [[0, 2, 4, 1, 1], [2, 0, 4, 3, 1], [4, 4, 0, 2, 3], [1, 3, 2, 0, 2], [1, 1, 3, 2, 0]]
    )
    np.testing.assert_allclose(table(parents, names, "path"), 1 / (1 + edges))
    # Depths: thing 1, animal and vehicle 2, dog, cat and car 3, toy dog 4.
    expected = np.array(
        [
            [1, 4 / 6, 2 / 6, 6 / 7, 4 / 5],
            [4 / 6, 1, 2 / 6, 4 / 7, 4 / 5],
            [2 / 6, 2 / 6, 1, 4 / 6, 2 / 5],
            [6 / 7, 4 / 7, 4 / 6, 1, 4 / 6],
            [4 / 5, 4 / 5, 2 / 5, 4 / 6, 1],
        ]
    )
    np.testing.assert_allclose(table(parents, names), expected)


def test_other_names_of_a_node_are_known(parents):
    np.testing.assert_array_equal(table(parents, ("hound", "cat")), table(parents, ("dog", "cat")))


def test_several_roots_stand_below_one(tmp_path):
    path = tmp_path / "two.tsv"
    path.write_text("a\tone\nb\ttwo\n", encoding="utf-8")
    np.testing.assert_allclose(table(str(path), ("a", "b"), "path"), [[1, 0.2], [0.2, 1]])


def test_cifar100_s_superclasses_are_all_there(shared_data):
    superclasses = json.loads((shared_data / "cifar100" / "superclasses.json").read_text())
    names = sorted(name for own in superclasses.values() for name in own)
    assert len(names) == 100
    group = {name: above for above, own in superclasses.items() for name in own}
    found = table("cifar100", tuple(names))
    same = np.array([[group[a] == group[b] for b in names] for a in names])
    expected = np.where(same, 2 / 3, 1 / 3)
    np.fill_diagonal(expected, 1)
    np.testing.assert_allclose(found, expected)


def test_imagenet_s_classes_are_found_by_id_and_by_both_sets_of_names(shared_data):
    classes = json.loads((shared_data / "meta" / "imagenet" / "class_info.json").read_text())
    wnids = [one["wnid"] for one in classes]
    taxonomy = read_taxonomy("imagenet")
    for names in (
        wnids,
        [one["clip_name"] for one in classes],
        [one["synset"].split(",")[0] for one in classes],
    ):
        assert taxonomy.nodes_of(tuple(names)) == wnids
    # WordNet's own relations, by the numbers that nltk has for them.
    names = ("n02123045", "n02123159", "n02084071")  # Tabby, tiger cat, dog.
    found = table("imagenet", names, "path")
    assert found[0, 1] == pytest.approx(1 / 3)
    assert 0 < found.min() and (found == found.T).all() and (np.diag(found) == 1).all()


def test_classes_that_are_missing_are_named_in_a_line(parents):
    with pytest.raises(InputError, match=r"of the 3 classes .* for 2: bird, fish; give a file"):
        table(parents, ("dog", "bird", "fish"))
    with pytest.raises(InputError, match="for 2: crane, crane"):
        table("imagenet", ("tench", "crane", "crane"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dog animal\n", "expected CLASS<TAB>PARENT in line 1 of .*'dog animal'"),
        ("a\tb\nb\tc\nc\tb\nb\troot\n", "which is above itself"),
        ("a\tb\nb\ta\n", "expected a root"),
    ],
)
def test_lists_that_are_none_are_refused(tmp_path, text, words):
    path = tmp_path / "bad.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_taxonomy(str(path))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(InputError, match="expected cifar100, imagenet or a file, .*nowhere"):
        read_taxonomy("nowhere")


def test_an_unknown_measure_is_refused(parents):
    with pytest.raises(InputError, match="taxonomy_measure"):
        table(parents, ("dog", "cat"), "lin")
