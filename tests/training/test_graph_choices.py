"""Graphs and subsets that a run chooses by flag: what is built of the data, and two steps of it."""

import json
import shutil

import numpy as np
import pytest
from helpers import small_run

from xsample_tf import data, graphs, losses, text
from xsample_tf.errors import InputError
from xsample_tf.training import stream, train
from xsample_tf.training.objectives import make_objective
from xsample_tf.training.run_data import make_graph
from xsample_tf.training.run_directory import RunDirectory

CLASSES = ("rose", "tulip", "shark", "ray")


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """Class folders of CIFAR-100's names, the first with more images, with lexical vectors."""
    from helpers.preparing import write_png

    root = tmp_path_factory.mktemp("flowers")
    for number, name in enumerate(CLASSES):
        for i in range(16 if number == 0 else 8):
            write_png(root / "images" / "train" / name / f"{i}.png", 10 * number + i)
        write_png(root / "images" / "val" / name / "a.png", number)
        write_png(root / "images" / "val" / name / "b.png", number + 50)
    data.prepare(
        f"folder:{root / 'images'}",
        root / "data",
        encoders=[text.load_encoder("lexical")],
        log=lambda line: None,
    )
    return str(root / "data")


def options(directory, **changes):
    return small_run.options(data_dir=(directory,), batch_size=16, steps=2, **changes)


def build(directory, **changes):
    chosen = options(directory, **changes)
    return make_graph(chosen, data.read_dataset(directory)), chosen


def test_each_graph_is_built_of_the_data(flowers):
    real, _ = build(flowers, graph="class")
    upper = np.triu_indices(4, 1)
    for name, kind in (
        ("random_class", graphs.RandomClassGraph),
        ("shuffled_class", graphs.ShuffledClassGraph),
    ):
        graph, _ = build(flowers, graph=name, seed=3)
        assert type(graph) is kind and graph.seed == 3
        np.testing.assert_allclose(np.sort(graph.table[upper]), np.sort(real.table[upper]))
    graph, _ = build(flowers, graph="taxonomy")
    np.testing.assert_allclose(graph.table[0], [1, 1 / 3, 2 / 3, 1 / 3])  # Ray, to shark.
    graph, _ = build(flowers, graph="taxonomy", own={"taxonomy_measure": "path"})
    np.testing.assert_allclose(graph.table[0], [1, 0.2, 1 / 3, 0.2])
    graph, chosen = build(flowers, graph="smoothing", target_temperature=0.2)
    labels = stream.side_information(chosen, "label", 16)
    entropies = [losses.summarize_target(g, labels, 0.2).entropy for g in (graph, real)]
    assert entropies[0] == pytest.approx(entropies[1], abs=1e-4)
    graph, chosen = build(flowers, graph="random_sample", seed=2)
    side = stream.side_information(chosen, "embedding", 16)
    exact = graphs.CosineGraph().similarity(side, side).numpy()[np.triu_indices(16, 1)]
    assert graph.seed == 2
    for share in (0.1, 0.5, 0.9):
        assert np.quantile(graph.values, share) == pytest.approx(
            np.quantile(exact, share), abs=0.02
        )


@pytest.mark.parametrize("views", [1, 2])
def test_smoothing_is_as_soft_as_the_class_graph_against_texts_too(flowers, views):
    own = {"objective": "soft_clip", "target_temperature": 0.2, "views": views}
    made = {}
    for name in ("class", "smoothing"):
        chosen = options(flowers, graph=name, **own)
        made[name] = make_objective(chosen, data.read_dataset(flowers)).target
    assert made["smoothing"].entropy == pytest.approx(made["class"].entropy, abs=1e-4)


def test_edge_noise_and_blends_are_built_by_their_flags(flowers):
    noise = {"spurious_edges": 0.1, "missing_edges": 0.3}
    graph, _ = build(flowers, graph="label", own=noise, seed=5)
    assert (graph.spurious_edges, graph.missing_edges, graph.no_edge) == (0.1, 0.3, 0)
    assert graph.seed == 5
    graph, _ = build(flowers, graph="class", own={"missing_edges": 0.3})
    table = graph.graph.table
    assert graph.no_edge == pytest.approx(table[np.triu_indices(4, 1)].mean())
    own = {"missing_edges": 0.5, "graph_weights": "0.7,0.3"}
    graph, chosen = build(flowers, graph="cosine,label", own=own)
    assert graph.weights == (0.7, 0.3)
    assert graph.features == ("embedding", "label", "key_hash")
    assert chosen.as_flat()["graph_weights"] == "0.7,0.3"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"graph": "label", "own": {"taxonomy": "imagenet"}}, "taxonomy: expected an option of"),
        (
            {"graph": "taxonomy", "own": {"taxonomy": "imagenet"}},
            r"taxonomy: expected one node .* in imagenet, received none or several for \d: ",
        ),
        ({"graph": "smoothing", "target_temperature": "auto:0.5"}, "expected a number or 'graph'"),
        ({"graph": "image"}, "image_embedding: .* has no image vectors; add them"),
        ({"graph": "cosine,nothing"}, "graph: received 'nothing'"),
        ({"graph": "cosine", "own": {"graph_weights": "1"}}, "graph_weights: expected an option"),
        ({"graph": "cosine,label", "own": {"graph_weights": "1"}}, "received 1 for 2"),
        ({"graph": "cosine,label", "own": {"graph_weights": "a,b"}}, "received 'a,b'"),
        ({"train_fraction": 0.5, "per_class": 1}, "expected one of train_fraction"),
    ],
)
def test_what_cannot_be_is_one_line_before_the_work(flowers, changes, words):
    with pytest.raises(InputError, match=words):
        build(flowers, **changes)


@pytest.mark.usefixtures("small_backbone")
@pytest.mark.parametrize(
    ("graph", "changes", "line"),
    [
        ("random_sample", {"train_fraction": 0.7}, "of which 2"),
        pytest.param(
            "cosine,label",
            {"per_class": 6, "own": {"spurious_edges": 0.1}},
            "of which 24 are",
            marks=pytest.mark.slow,  # A run of 7 s, as the first.
        ),
        pytest.param(
            "smoothing",
            {"class_balance": 1.0},
            "class_balance: images weigh 0.625 to 1.25",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_trains_with_them(flowers, tmp_path, graph, changes, line):
    lines = []
    run = options(flowers, graph=graph, run_dir=str(tmp_path), **changes)
    train(run, log=lines.append, finish=False)
    assert line in "\n".join(lines)
    metrics = [json.loads(text) for text in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert np.isfinite([metric["loss"] for metric in metrics if "loss" in metric]).all()


def test_weights_are_one_on_the_images_average_and_alike_for_all_classes(flowers):
    weights = stream.class_weights(options(flowers, class_balance=1.0))
    np.testing.assert_allclose(weights, [1.25, 0.625, 1.25, 1.25])  # In the order of names.
    half = stream.class_weights(options(flowers, class_balance=0.5))
    np.testing.assert_allclose(half[0] / half[1], 2**0.5, rtol=1e-6)
    assert (16 * half[1] + 24 * half[0]) / 40 == pytest.approx(1)
    batches = stream.make_stream(options(flowers, class_balance=1.0), ("label",))
    for _, side, weight in batches.take(1).as_numpy_iterator():
        np.testing.assert_allclose(weight, weights[side["label"]])


def test_balance_needs_the_same_classes_everywhere(scenes_directory, tmp_path, flowers):
    scenes_directory = shutil.copytree(scenes_directory, tmp_path / "scenes")  # An index is kept.
    with pytest.raises(InputError, match="class_balance: expected a label for each image, and the"):
        stream.class_weights(
            small_run.options(data_dir=(flowers, str(scenes_directory)), class_balance=1.0)
        )


def begin(given):
    with RunDirectory(given, log=lambda line: None) as directory:
        directory.begin()


def test_a_changed_taxonomy_is_another_run(flowers, tmp_path):
    path = tmp_path / "list.tsv"
    path.write_text("rose\tplant\ntulip\tplant\nshark\tfish\nray\tfish\n")
    own = {"taxonomy": str(path)}
    first = options(flowers, graph="taxonomy", own=own, run_dir=str(tmp_path / "run"))
    begin(first)
    RunDirectory(first, log=lambda line: None).__exit__()
    path.write_text("rose\tplant\ntulip\tfish\nshark\tfish\nray\tplant\n")
    with pytest.raises(InputError, match="began with other settings: data_dir"):
        RunDirectory(first, log=lambda line: None)


def test_another_teacher_s_vectors_are_another_run(flowers, tmp_path):
    copy = str(shutil.copytree(flowers, tmp_path / "data"))

    def teach(seed):
        def encoder(files):
            return np.random.default_rng(seed).normal(size=(len(files), 3))

        encoder.name, encoder.handle, encoder.size = "teacher", "a handle", 3
        data.add_image_embeddings(copy, encoder, overwrite=True, log=lambda line: None)

    teach(0)
    with_labels = options(copy, graph="image,label", run_dir=str(tmp_path / "run"))
    of_labels = options(copy, graph="label", run_dir=str(tmp_path / "labels"))
    for given in (with_labels, of_labels):
        begin(given)
    teach(1)
    with pytest.raises(InputError, match="data_dir .was 'image vectors [0-9a-f]{12}', is 'image"):
        RunDirectory(with_labels, log=lambda line: None)
    RunDirectory(of_labels, log=lambda line: None).__exit__()  # Which never saw them.


def test_a_changed_list_is_another_run(flowers, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("train/rose/1.png\n")
    first = options(flowers, train_list=str(path), run_dir=str(tmp_path / "run"))
    begin(first)
    path.write_text("train/rose/2.png\n")
    with pytest.raises(InputError, match="began with other settings: data_dir"):
        RunDirectory(first, log=lambda line: None)
