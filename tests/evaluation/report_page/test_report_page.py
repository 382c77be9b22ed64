"""The page of an evaluation as a browser shows it."""

import html
import json
import re

import numpy as np
import pytest
from helpers import browser, tiny_data
from helpers.plain_encoders import blind, mean_color

from xsample_tf import evaluation
from xsample_tf.evaluation.report_page import evaluation_page

NASTY = '</script><script>failures.push("run")</script> "a" & \'b\' <img src=x onerror=fail()>'

# What a reader does, and what there is to see then.
DRIVER = """
const all = (query) => [...document.querySelectorAll(query)];
const press = (node, key) => node.dispatchEvent(new KeyboardEvent("keydown", { key }));
const colours = (canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = new Set();
  for (let i = 0; i < data.length; i += 4) found.add(data.slice(i, i + 3).join());
  return found.size;
};
await frame();
const seen = { titles: all("h2").map((one) => one.textContent), curves: all("#curves-title ~ * svg")
  .length, spectrum: all("#spectrum-chart svg").length, queries: all(".query").length };
seen.drawn = all("canvas").map(colours);
seen.focusable = all("canvas, .pictures, .scroll").every((one) => one.tabIndex === 0);
const [matrix] = all("canvas.matrix"), [map] = all("canvas.map");
press(matrix, "ArrowDown");
press(matrix, "ArrowRight");
seen.cell = document.getElementById("classes-text").textContent;
press(map, "ArrowLeft");
seen.image = document.getElementById("map-text").textContent;
const places = new Set([seen.image]);
for (const key of ["ArrowLeft", "ArrowUp", "ArrowLeft", "ArrowUp"]) {
  press(map, key);
  places.add(document.getElementById("map-text").textContent);
}
seen.moved = places.size;
const choice = document.getElementById("map-class");
seen.classes = choice.options.length;
choice.value = "2";
choice.dispatchEvent(new Event("change"));
await frame();
seen.chosen = colours(map);
for (const image of all("img")) image.loading = "eager";
await frame();
seen.pictures = [all("img").length, all("img").filter((image) => image.naturalWidth > 100).length];
seen.words = page.data.map.words;
seen.widest = all("main *").filter((one) => !one.closest(".scroll, .pictures")
  && one.getBoundingClientRect().right > innerWidth).map((one) => one.outerHTML.slice(0, 80));
seen.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
return seen;
"""


def noisy(batch) -> np.ndarray:
    """Knows the colour, in part."""
    pixels = np.asarray(batch)
    return mean_color(pixels) + 3 * (pixels[:, 0, 0] - pixels[:, 3, 3])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A thousand images whose captions would end a script, with warnings and a task left out."""
    directory = tiny_data.write(tmp_path_factory.mktemp("data"), val=1000, words=f"{NASTY} {{}}")
    settings = evaluation.Settings(directory, image_size=16, log=lambda line: None)
    found = evaluation.run_tasks(noisy, ["shards", "objectnet"], settings, baseline=blind)
    found.meta["warnings"] = [f"objectnet: 0.1% is near guessing {NASTY}"]
    return found


@pytest.fixture(scope="module")
def page(found, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    lines = [
        {"step": step, "loss": 1 / step, "evaluation": {"knn_top1": step / 200, "kl": None}}
        for step in (10, 20, 30)
    ]
    text = "\n".join(map(json.dumps, lines)) + '\n{"step": 40, "lo'  # Cut short by a kill.
    (run / "metrics.jsonl").write_text(text)
    return evaluation_page(found, NASTY, run, f"evaluate '{NASTY}'", log=lambda line: None)


@pytest.fixture(scope="module")
def seen(page, tmp_path_factory):
    found, failures = browser.run_page(
        page, DRIVER, tmp_path_factory.mktemp("browser"), "--window-size=390,800"
    )
    assert failures == []
    return found


def test_all_parts_are_drawn_and_fit_a_phone(seen):
    assert seen["titles"] == [
        "Figures",
        "Curves over training",
        "Classes and confusions",
        "Nearest neighbours",
        "Map of the embeddings",
        "Spectrum",
    ]
    assert seen["curves"] == 2 and seen["spectrum"] == 1
    assert seen["widest"] == [] and seen["wide"] <= 0
    # The blind encoder takes all images for one class.
    assert len(seen["drawn"]) == 4 and min(seen["drawn"][::2]) > 3 and min(seen["drawn"]) > 1
    assert 6 <= seen["queries"] <= 10
    shown, whole = seen["pictures"]
    assert shown == whole == seen["queries"] * 13


def test_what_is_drawn_is_read_by_keyboard_too(seen):
    assert seen["focusable"]
    assert re.fullmatch(r"color \d(, taken for color \d)?: .*\(trained\).*", seen["cell"])
    assert "color" in seen["image"] and seen["moved"] > 1
    assert seen["classes"] == 7 and seen["chosen"] > 3


def test_captions_are_text_wherever_they_come(seen, page):
    assert any(words.startswith(NASTY) for words in seen["words"])  # And none ran.
    assert page.count("<script") == 2 and "<img src=x" not in page
    assert html.escape(f"evaluate '{NASTY}'") in page and "default-src 'none'" in page


def test_a_page_of_a_thousand_images_is_small(page):
    assert len(page.encode()) < 3e6


def test_verdict_warnings_and_what_is_left_out_stand_on_it(found, page):
    text = html.unescape(re.sub(r"<[^>]+>", "", page.split("<script")[0]))
    sentence = found.verdict["sentence"]
    assert sentence[:1].upper() + sentence[1:] + "." in text
    assert f"near guessing {NASTY}" in html.unescape(page)
    assert "task objectnet: objectnet_dir: expected a folder, received none" in text
    interval = evaluation.paired_interval(
        found.scores["trained"]["kl"].per_image, found.scores["untrained"]["kl"].per_image
    )
    low, high = (f"{'+' if v >= 0 else '−'}{abs(v):.3f}" for v in (interval.low, interval.high))
    assert f"[{low}, {high}]" in text


def test_without_labels_captions_and_runs_the_page_says_what_it_lacks(bare_dir):
    settings = evaluation.Settings(bare_dir, image_size=16, log=lambda line: None)
    found = evaluation.run_tasks(blind, ["shards"], settings)
    page = evaluation_page(found, "bare", log=lambda line: None)
    for words in (
        "No verdict: it needs a baseline, and captions or labels.",
        "Classes and confusions: no labels.",
        "Curves over training: no metrics.jsonl",
        "Spectrum: the embeddings have a single direction.",
    ):
        assert words in page
    assert "There are no labels to colour it by." in page and "val-0" in page
    assert "Not on this page" in page


def test_without_a_data_directory_the_figures_are_there(own_entries):
    @evaluation.TASKS.register("grey")
    class Grey(evaluation.Task):
        figures = (evaluation.Figure("top1", "top-1 accuracy", "{:.1%}"),)

        def run(self, runner):
            right = np.array([0, 0, 1, 0 if runner.encoder == "untrained" else 1])
            return evaluation.Outcome({"top1": evaluation.Score(right.mean(), per_image=right)})

    settings = evaluation.Settings(image_size=16)
    found = evaluation.run_tasks(mean_color, ["grey"], settings, baseline=blind)
    page = evaluation_page(found, "grey", log=lambda line: None)
    # The images are not named, but within one evaluation they are the same.
    assert "grey: top-1 accuracy" in page and "50.0%" in page and "+25.0 points" in page
    assert "--data_dir was not evaluated on" in page
