"""The tables that ship with the package, and the files that they were made from."""

import gzip
import json

import numpy as np

from xsample_tf.evaluation import tables


def test_the_classes_have_the_published_groups_and_subsets():
    classes = tables.imagenet_classes()
    assert [one.wnid for one in classes] == sorted({one.wnid for one in classes})
    assert len(classes) == 1000 and classes[1].name == "goldfish"
    counts = np.bincount(tables.imagenet_9_groups() + 1)
    assert counts.tolist() == [630, 116, 52, 42, 36, 35, 27, 26, 20, 16]
    assert [len(tables.imagenet_subset(letter)) for letter in "ar"] == [200, 200]


def test_real_labels_and_lists_of_few_labels_have_their_published_numbers():
    labels = tables.real_labels()
    assert len(labels) == 50_000 and sum(not own for own in labels) == 3_163
    assert labels[1] == (970, 795)
    assert [len(tables.few_labels(percent)) for percent in (1, 10)] == [12_811, 128_116]
    assert tables.few_labels(1) & tables.few_labels(10)


def test_objectnet_has_113_folders_of_125_classes():
    folders = tables.objectnet_folders()
    indices = [index for own in folders.values() for index in own]
    assert len(folders) == 113 and len(set(indices)) == len(indices) == 125
    assert folders["alarm_clock"] == (409, 530)


def test_templates_have_a_place_for_the_class():
    templates = tables.prompt_templates()
    assert len(templates["imagenet1k"]) == 80
    assert all(one.count("{}") == 1 for own in templates.values() for one in own)


def test_tables_are_as_in_the_public_files(shared_data):
    meta = shared_data / "meta"
    real = json.loads((meta / "imagenet" / "real.json").read_text())
    assert [list(own) for own in tables.real_labels()] == real
    overlap = json.loads((meta / "objectnet" / "overlap_113.json").read_text())
    assert tables.objectnet_folders() == {
        row["folder"]: tuple(sorted(row["imagenet_indices"])) for row in overlap
    }
    listed = gzip.open(meta / "imagenet" / "simclr_1percent.txt.gz", "rt").read().split()
    assert tables.few_labels(1) == set(listed)
    for letter in "ar":
        rows = json.loads((meta / "imagenet" / f"imagenet_{letter}_classes.json").read_text())
        assert tables.imagenet_subset(letter) == sorted(row["imagenet_index"] for row in rows)
