"""Graphs, views, optimizers and objectives of one's own: a file each, through tools/train.py."""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys

import command_line
import keras
import numpy as np
import pytest
import train as train_tool
from helpers import tiny_data
from helpers.preparing import write_png
from helpers.small_model import small_encoder

from xsample_tf import data, registry, training
from xsample_tf.errors import InputError
from xsample_tf.training import Options, load_encoder
from xsample_tf.training.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("small_backbone")

# Labels that are near are alike, by how much is an option.
GRAPH = """
import keras
import tensorflow as tf

from xsample_tf import graphs
from xsample_tf.registry import Option


@graphs.register("near", options=[Option("near_scale", 2.0, "Labels apart.", minimum=0.1)])
@keras.saving.register_keras_serializable("mine")
class NearGraph(graphs.SimilarityGraph):
    "Labels that are near."

    features = "label"

    def __init__(self, near_scale=2.0):
        self.near_scale = near_scale

    def compare(self, rows, columns):
        apart = tf.abs(tf.cast(rows[:, None] - columns[None, :], tf.float32))
        return tf.exp(-apart / self.near_scale)

    def get_config(self):
        return {"near_scale": self.near_scale}
"""

OPTIMIZER = """
import keras

from xsample_tf.registry import Option
from xsample_tf.training import optimizers

OPTIONS = [
    Option("lion_beta_2", 0.99, "Decay of the momentum.", minimum=0, maximum=1),
    Option("lion_comment", "", "Changes nothing.", changes_result=False),
]


@optimizers.register("lion", options=OPTIONS)
def make(learning_rate, *, momentum, lion_beta_2, lion_comment, **arguments):
    "Lion (arXiv 2302.06675)."
    return keras.optimizers.Lion(learning_rate, beta_1=momentum, beta_2=lion_beta_2, **arguments)
"""

# Views of an image are alike, whatever others are: a loss, a progress line and a preset.
OBJECTIVE = """
import keras
import tensorflow as tf

from xsample_tf import losses
from xsample_tf.registry import Option
from xsample_tf.training import objectives


@keras.saving.register_keras_serializable("mine")
class Alignment(losses.XSampleContrastiveLoss):
    def __init__(self, power=2.0, **arguments):
        super().__init__(**arguments)
        self.power = power

    def rows(self, side, embeddings):
        _, statistics = super().rows(side, embeddings)
        unit = tf.math.l2_normalize(embeddings, axis=-1)
        squares = tf.reduce_sum(tf.square(unit[:, 0] - unit[:, 1]), axis=-1)
        return tf.pow(squares, self.power / 2), statistics


@objectives.register("alignment", options=[Option("alignment_power", 2.0, "Of the distance.")])
class AlignmentObjective(objectives.XSample):
    "Only attracts."

    fixed = {"graph": "instance", "min_crop": 0.5}
    progress = ("loss", "alignment", "uniformity")

    def __init__(self, options, dataset, alignment_power):
        super().__init__(options, dataset)
        self.power = alignment_power

    def make_loss(self):
        return Alignment(self.power, **{"graph": self.graph})
"""


VIEWS = """
import tensorflow as tf

from xsample_tf.data import views
from xsample_tf.registry import Option


@views.register("noise", options=[Option("noise_level", 0.1, "Standard deviation.", minimum=0)])
class Noise(views.ViewPolicy):
    "Adds noise."

    def __init__(self, size, views=2, noise_level=0.1):
        super().__init__(size, views)
        self.noise_level = noise_level

    def __call__(self, image, seed):
        image = tf.image.resize(tf.cast(image, tf.float32) / 255, [self.size] * 2)
        shape = [self.views, *image.shape]
        noise = tf.random.stateless_normal(shape, seed, stddev=self.noise_level)
        return tf.clip_by_value(image + noise, 0.0, 1.0)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tiny_data.write(tmp_path_factory.mktemp("data"), train=16, val=8)


@pytest.fixture(autouse=True)
def modules_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    modules = {"near_graph": GRAPH, "lion": OPTIMIZER, "attract": OBJECTIVE, "noise": VIEWS}
    for name, text in modules.items():
        pathlib.Path(f"{name}_of_a_test.py").write_text(text)


def train(directory, *arguments):
    """Two steps through the tool, unevaluated; returns the run's settings."""
    command_line.parse(
        ["train", f"--data_dir={directory}", "--run_dir=run", "--backbone=resnet18"]
        + ["--image_size=8", "--projector_hidden=8", "--projector_dim=4", "--batch_size=8"]
        + ["--steps=2", "--log_every_steps=1", "--noblur", "--warmup_epochs=0", *arguments]
    )
    with pytest.MonkeyPatch.context() as patch:
        unfinished = training.train
        patch.setattr(training, "train", lambda options: unfinished(options, finish=False))
        train_tool.main()
    return json.loads(pathlib.Path("run/options.json").read_text())


def test_a_graph_is_one_file(directory, capsys):
    arguments = ["--import=near_graph_of_a_test.py", "--graph=near", "--near_scale=5"]
    settings = train(directory, *arguments)
    assert "(batch 8, graph near)" in capsys.readouterr().out
    assert (settings["graph"], settings["near_scale"]) == ("near", 5.0)
    module = str(pathlib.Path("near_graph_of_a_test.py").absolute())
    assert settings["imports"] == [module]
    # The run's own flags are the whole run, and what they change is judged.
    flags = pathlib.Path("run/run.flags").read_text().splitlines()
    assert {f"--import={module}", "--near_scale=5.0"} <= set(flags)
    command_line.parse(["train", "--flagfile=run/run.flags", "--near_scale=1"])
    with pytest.raises(InputError, match=r"near_scale \(was 5.0, is 1.0\)"):
        train_tool.main()
    options = Options.from_flat(settings)
    assert options.own == {"near_scale": 5.0} and options.as_flat()["near_scale"] == 5.0
    with RunDirectory(dataclasses.replace(options, own={}, allow_changed=("near_scale",))):
        pass
    encoder, settings = load_encoder("run")
    assert settings["near_scale"] == 5.0 and encoder.output_shape == (None, 6)


@pytest.mark.slow  # A run, as of the graph above.
def test_an_optimizer_is_one_file(directory, capsys, recwarn):
    arguments = ["--import=lion_of_a_test.py", "--optimizer=lion", "--learning_rate=0.01"]
    arguments += ["--lion_beta_2=0.5", "--lion_comment=first", "--target_temperature=0.001"]
    settings = train(directory, *arguments)
    # A target that is one-sided is said once, in the run's own words.
    assert capsys.readouterr().out.count("the target hardly differs from SimCLR's") == 1
    assert not [one for one in recwarn if str(one.message).startswith("target: ")]
    assert (settings["lion_beta_2"], settings["lion_comment"]) == (0.5, "first")
    # Lion moves every weight by the learning rate, but for the schedule and decay.
    options = Options.from_flat(settings)
    weights = load_encoder("run")[0].trainable_weights
    keras.utils.set_random_seed(0)
    fresh = small_encoder(8).trainable_weights
    moved = np.concatenate([np.ravel(a - b) for a, b in zip(weights, fresh, strict=True)])
    assert np.abs(moved).max() == pytest.approx(0.01 + 0.005, rel=1e-3)
    lines = []
    own = options.own | {"lion_comment": "b"}
    with RunDirectory(dataclasses.replace(options, own=own), lines.append):
        assert lines == ["changed since this run began: lion_comment was 'first', is 'b'"]


@pytest.mark.slow  # A run, as of the graph above.
def test_an_objective_is_one_file(directory, capsys):
    arguments = ["--import=attract_of_a_test.py", "--objective=alignment"]
    settings = train(directory, *arguments, "--alignment_power=4")
    assert (settings["graph"], settings["min_crop"]) == ("instance", 0.5)
    printed = capsys.readouterr().out
    progress = [line for line in printed.splitlines() if " step 2/2 " in line]
    assert len(progress) == 1 and "kl" not in progress[0] and "  uniformity " in progress[0]
    lines = [json.loads(line) for line in pathlib.Path("run/metrics.jsonl").open()]
    # The regularizer's penalty, above 0, is part of the loss.
    assert all(line["loss"] > line["alignment"] ** 2 > 0 for line in lines)
    with pytest.raises(InputError, match="graph: objective 'alignment' has 'instance', received"):
        train(directory, *arguments, "--graph=cosine")  # Its default, but given.
    with pytest.raises(InputError, match="min_crop: .* has 0.5, received 0.2; leave min_crop out"):
        Options(objective="alignment", min_crop=0.2)


def test_an_augmentation_is_one_file(directory):
    arguments = ["--import=noise_of_a_test.py", "--augmentation=noise", "--noise_level=0"]
    settings = train(directory, *arguments)
    assert (settings["augmentation"], settings["noise_level"]) == ("noise", 0.0)
    lines = [json.loads(line) for line in pathlib.Path("run/metrics.jsonl").open()]
    # Without noise the views of an image are the same.
    assert [line["alignment"] for line in lines] == pytest.approx([0, 0], abs=1e-6)
    with pytest.raises(InputError, match="color_on: expected host or auto with noise"):
        Options(augmentation="noise", color_on="accelerator")


def test_options_of_what_is_not_chosen_and_unknown_ones_are_named(directory):
    imports = ("near_graph_of_a_test.py", "lion_of_a_test.py")
    with pytest.raises(InputError, match="near_scale: expected an option of .* these have none"):
        train(directory, f"--import={imports[0]}", "--near_scale=3")
    with pytest.raises(InputError, match="near_scal: .* did you mean 'near_scale'"):
        Options(imports=imports, graph="near", own={"near_scal": 3.0})
    with pytest.raises(InputError, match="near_scale: expected a number at least 0.1, received 0"):
        Options(imports=imports, graph="near", own={"near_scale": 0})
    with pytest.raises(InputError, match="optimizer: received 'lio', did you mean 'lion'"):
        Options(imports=imports, optimizer="lio")
    assert Options(imports=imports, optimizer="lion").own == {
        "lion_beta_2": 0.99,
        "lion_comment": "",
    }


def test_a_graph_whose_feature_is_not_there_ends_before_the_first_step(directory):
    missing = GRAPH.replace('"near"', '"nearer"').replace("NearGraph", "NearerGraph")
    missing = missing.replace('features = "label"', 'features = "age"')
    pathlib.Path("missing_of_a_test.py").write_text(missing)
    with pytest.raises(InputError, match="graph: 'nearer' needs 'age' of each image, .* embedding"):
        train(directory, "--import=missing_of_a_test.py", "--graph=nearer")


def snippet(repository, guide, begin):
    """The code in a guide that begins so."""
    text = (repository / "docs" / guide).read_text(encoding="utf-8")
    (found,) = re.findall(rf"{re.escape(begin)}(.*?)```", text, re.DOTALL)
    return found


def test_the_guide_s_graph_relates_images_by_a_column_of_the_table(repository, capsys):
    code = snippet(repository, "graphs.md", "```python\n# age_graph.py\n")
    pathlib.Path("age_graph.py").write_text(code)
    rows = []
    for i in range(24):
        write_png(pathlib.Path(f"photos/{i}.png"), i)
        rows.append({"image": f"{i}.png", "caption": f"a face {i}", "age": 20 + i})
    rows[3]["age"] = None
    pathlib.Path("photos/t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = data.SourceOptions(feature_columns=("age",), validation_fraction=0.3)
    source = "table:photos/t.jsonl"
    with pytest.raises(InputError, match="expected a number in 'age' of 3.png, received nothing"):
        data.prepare(source, "first", options=options)
    dataset = data.prepare(source, "prepared", options=options, feature_default=40)
    assert [dataclasses.asdict(column) for column in dataset.columns] == [
        {"name": "age", "dtype": "int64", "length": None}
    ]
    ages = data.side_information("prepared", "train")["age"]
    assert ages.dtype == np.int64 and set(ages) <= {*range(20, 44), 40}
    arguments = ["--import=age_graph.py", "--graph=age", "--age_scale=5"]
    settings = train("prepared", *arguments)
    assert (settings["graph"], settings["age_scale"]) == ("age", 5.0)
    assert "graph age" in capsys.readouterr().out


@pytest.mark.slow  # A process, as of the graph above.
def test_the_guide_s_source_is_one_file(repository):
    code = snippet(repository, "sources.md", "<!-- source -->\n```python\n")
    pathlib.Path("sidecar_of_a_test.py").write_text(code)
    for i in range(4):
        write_png(pathlib.Path(f"photos/{i}.jpg"), i)
        pathlib.Path(f"photos/{i}.text").write_text(f"caption {i}")
    command = [sys.executable, repository / "tools" / "prepare_data.py", "--output=prepared"]
    command += ["--import=sidecar_of_a_test.py", "--source=sidecar:photos"]
    command += ["--sidecar_ending=.text", "--validation_fraction=0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "0.jpg: caption 0" in done.stdout
    assert data.read_dataset("prepared").records("train") == 4
    # Another value makes another directory.
    options = data.SourceOptions(own={"sidecar_ending": ".other"}, validation_fraction=0)
    for i in range(4):
        pathlib.Path(f"photos/{i}.other").write_text(f"caption {i}")
    with pytest.raises(InputError, match=r"made with source_options=.*\.text.*now .*\.other"):
        registry.import_module("sidecar_of_a_test.py")
        data.prepare("sidecar:photos", "prepared", options=options)
    with pytest.raises(InputError, match="did you mean 'sidecar'"):
        data.prepare("sidecars:photos", "other")
