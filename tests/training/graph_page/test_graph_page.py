"""The page as a browser shows it: its numbers, controls and captions."""

import dataclasses
import html
import json
import re

import numpy as np
import pytest
from helpers import browser, small_run
from helpers.preparing import write_png

from xsample_tf import data, text
from xsample_tf.errors import InputError
from xsample_tf.losses import solve_target_temperature, summarize_target
from xsample_tf.training import stream
from xsample_tf.training.graph_page import graph_page
from xsample_tf.training.run_data import make_graph

NASTY = '</script><script>failures.push("run")</script> "a" & \'b\' <img src=x onerror=fail()>'
IMAGES = 40

# What a reader does, and what there is to see then.
DRIVER = """
const find = (id) => document.getElementById(id);
const tile = (i) => find("tiles").querySelectorAll("b")[i].textContent;
const seen = {};
const look = async (name) => {
  await frame();
  seen[name] = { tiles: [0, 1, 2, 3].map(tile), verdict: find("verdict").textContent,
    warning: find("verdict").className, flags: find("flags").textContent,
    mass: target.summarize(state.statistics().mass).mean,
    entropy: target.summarize(state.statistics().entropy).mean };
};
const set = (id, value) => {
  find(id).value = value;
  find(id).dispatchEvent(new Event("input", { bubbles: true }));
};
const press = (key) => find("heat-map").dispatchEvent(new KeyboardEvent("keydown", { key }));
await look("start");
set("temperature-number", "0.3");
await look("warm");
set("temperature", "0");
await look("zero");
set("temperature", "101");
set("batch", "2");
set("views", "4");
await look("small");
set("views", "2");
set("batch", String(page.data.sizes.indexOf(page.data.population)));
find("solve").click();
await look("solved");
find("graphs").querySelectorAll("input")[1].click();
await look("other");
press("ArrowDown");
press("ArrowRight");
await frame();
seen.cell = find("heat-text").textContent;
seen.focusable = find("heat-map").tabIndex;
seen.texts = page.data.texts;
seen.charts = document.querySelectorAll("svg").length;
seen.gallery = [document.querySelectorAll(".anchor").length,
  [...document.querySelectorAll("#gallery img")].filter((image) => image.naturalWidth).length];
seen.suspects = find("suspect-tables").textContent;
seen.comparison = find("comparison").hidden ? "" : find("agreement").textContent;
seen.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
seen.colours = find("heat-map").getContext("2d").getImageData(0, 0, 40, 40).data
  .reduce((found, value) => found.add(value), new Set()).size;
return seen;
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Forty images with captions, two alike, one without and one that would end a script."""
    root = tmp_path_factory.mktemp("page")
    words = ["dog", "cat", "ball", "tree", "river", "house"]
    rows = []
    for i in range(IMAGES):
        write_png(root / f"{i}.png", 6 * i)
        rows.append([f"{i}.png", f"{words[i % 6]} and {words[(i * 5 + i // 6) % 6]} number {i}"])
    rows[1][1], rows[3][1] = rows[2][1], NASTY
    lines = [json.dumps({"image": image, "caption": caption}) for image, caption in rows]
    (root / "t.jsonl").write_text("\n".join(lines))
    data.prepare(
        f"table:{root}/t.jsonl",
        root / "data",
        [text.load_encoder("lexical")],
        options=data.SourceOptions(validation_fraction=0),
        log=lambda line: None,
    )
    return str(root / "data")


@pytest.fixture(scope="module")
def options(directory):
    return small_run.options(data_dir=(directory,), batch_size=16, target_temperature=0.1)


@pytest.fixture(scope="module")
def page(options):
    return graph_page(
        options, compare_graph="instance", command=f"inspect '{NASTY}'", log=lambda line: None
    )


@pytest.fixture(scope="module")
def seen(page, tmp_path_factory):
    found, failures = browser.run_page(
        page, DRIVER, tmp_path_factory.mktemp("browser"), "--window-size=390,800"
    )
    assert failures == []
    return found


@pytest.fixture(scope="module")
def whole(options, directory):
    """The run's graph and what it sees of all images."""
    graph = make_graph(options, data.read_dataset(directory))
    return graph, stream.side_information(options, "embedding", IMAGES)


@pytest.mark.parametrize(
    ("name", "temperature"), [("start", 0.1), ("warm", 0.3), ("zero", 0.0), ("small", 0.1)]
)
def test_a_setting_shows_what_the_loss_would_do(seen, whole, name, temperature):
    shown = seen[name]
    size, views = (23, 4) if name == "small" else (16, 2)
    flags = (
        f"--graph=cosine --target_temperature={temperature:g} --batch_size={size} --views={views}"
    )
    assert shown["flags"] == flags
    random = np.random.default_rng(0)
    drawn = [random.permutation(IMAGES)[:size] for _ in range(50)]
    several = [summarize_target(whole[0], whole[1][one], temperature, views) for one in drawn]
    assert shown["mass"] == pytest.approx(np.mean([one.own_mass for one in several]), abs=0.03)
    assert shown["entropy"] == pytest.approx(np.mean([one.entropy for one in several]), abs=0.1)
    assert float(shown["tiles"][0]) == pytest.approx(shown["mass"], rel=0.01)
    assert float(shown["tiles"][1]) == pytest.approx(np.exp(shown["entropy"]), rel=0.01)
    assert float(shown["tiles"][2].removesuffix(" nats")) == pytest.approx(
        shown["entropy"], rel=0.01
    )


def test_the_mass_is_judged_as_training_judges_it(seen):
    assert seen["warm"]["mass"] < 0.2 and seen["warm"]["warning"] == "warning"
    assert "hardly ranks an image's own views first" in seen["warm"]["verdict"]
    assert seen["zero"]["mass"] > 0.9 and "hardly differs from SimCLR" in seen["zero"]["verdict"]
    # At 0, which is its own temperature, SimCLR's graph is what it should be.
    assert seen["other"]["flags"].startswith("--graph=cosine --center")


def test_the_temperature_for_half_of_the_mass_is_found(seen, whole):
    assert seen["solved"]["mass"] == pytest.approx(0.5, abs=1e-3)
    solved = float(re.search(r"--target_temperature=(\S+)", seen["solved"]["flags"]).group(1))
    assert solved == pytest.approx(solve_target_temperature(*whole, 0.5), rel=2e-3)
    assert seen["solved"]["warning"] == ""


def test_all_parts_are_drawn_and_fit_a_phone(seen):
    assert seen["charts"] == 4 and seen["wide"] <= 0 and seen["focusable"] == 0
    anchors, pictures = seen["gallery"]
    assert anchors == 12 and pictures >= 12 * 5
    assert seen["colours"] > 20
    assert "The same caption several times39 different ones of 40 images" in seen["suspects"]
    assert "Related to nothing" in seen["suspects"]
    assert "rank correlation is not defined" in seen["comparison"]


def test_captions_are_text_wherever_they_come(seen, page):
    assert NASTY in seen["texts"]  # And it did not run, which would be a failure of the page.
    assert "Similarity" in seen["cell"] and any(one in seen["cell"] for one in seen["texts"])
    assert page.count("<script") == 2 and "<img src=x" not in page
    assert html.escape(f"inspect '{NASTY}'") in page


def test_without_a_script_the_numbers_are_a_table(page, whole):
    shown = re.search(r"<noscript>(.*?)</noscript>", page, re.DOTALL).group(1)
    row = [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", shown)]
    summary = summarize_target(*whole, 0.1)
    assert row[:3] == ["40", "0.1", f"{summary.own_mass:.3f}"]
    assert float(row[5]) == pytest.approx(solve_target_temperature(*whole, 0.5), rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data_dir": ()}, "data_dir: expected a directory"),
        ({"graph": "label"}, "graph: 'label' needs labels"),
        ({"train_fraction": 0.05}, "expected 3 images or more to train on, received 2"),
    ],
)
def test_what_cannot_be_shown_is_one_line(options, changes, words):
    with pytest.raises(InputError, match=words):
        graph_page(dataclasses.replace(options, **changes), log=lambda line: None)
