"""The guide's code runs as printed, on what the tool writes."""

import re
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from helpers import tiny_data
from PIL import Image

from xsample_tf import embedding
from xsample_tf.export import export, load


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with PHOTOS and runs/photos."""
    directory = tmp_path_factory.mktemp("guide")
    image = keras.Input([8, 8, 3])
    encoder = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    export(encoder, directory / "runs" / "photos" / "export", 8)
    (directory / "PHOTOS").mkdir()
    for number, color in enumerate(np.tile(tiny_data.COLORS, (2, 1))):
        picture = Image.new("RGB", (20, 16), tuple(map(int, color)))
        picture.save(directory / "PHOTOS" / f"{number:02}.jpg", quality=95)
    (directory / "PHOTOS" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    return directory


def run_guide(repository, name) -> dict:
    guide = (repository / "docs" / "embed.md").read_text(encoding="utf-8")
    code = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", guide, re.DOTALL).group(1)
    names = {}
    exec(compile(code, "embed.md", "exec"), names)
    return names


def test_the_guide_reads_what_was_written(repository, place, monkeypatch):
    monkeypatch.chdir(place)
    encoder, images = load("runs/photos"), embedding.FolderImages("PHOTOS")
    described = embedding.embed(encoder, images, "vectors/photos", 8, log=lambda line: None)
    assert described["rows"] == 12 and sum(described["left_out"].values()) == 1
    names = run_guide(repository, "read")
    assert list(names["nearest"]["key"][:2]) == ["00.jpg", "06.jpg"]  # The other red one.
    np.testing.assert_allclose(names["nearest"]["cosine"][:2], 1, atol=1e-3)
    expected = np.tile(tiny_data.COLORS, (2, 1)) / 255
    np.testing.assert_allclose(names["vectors"], expected, atol=0.02)


def test_the_guide_finds_the_broken_file(repository, place, monkeypatch):
    monkeypatch.chdir(place)
    names = run_guide(repository, "nan")
    assert [photo.name for photo in names["broken"]] == ["broken.jpg"]
    assert np.isfinite(names["found"][:12]).all()


@pytest.mark.slow  # Two processes of 8 s; all but the flags is tested in a process that is there.
def test_the_tool_goes_on_and_refuses_what_it_cannot_use(repository, place):
    def run(*flags):
        command = [sys.executable, str(repository / "tools" / "embed.py"), "--model=runs/photos"]
        return subprocess.run([*command, *flags], cwd=place, capture_output=True, text=True)

    done = run("--images=PHOTOS", "--output=out", "--browse=6")
    assert done.returncode == 0, done.stderr
    assert "12 vectors of 3 values, float32, in out" in done.stdout
    assert re.search(r"\w+ +1 left out, listed in left_out.csv", done.stdout)
    assert len(pd.read_parquet(place / "out" / "browse.parquet")) == 6
    refused = run("--images=PHOTOS", "--output=out", "--dtype=float16")
    assert refused.returncode == 2
    assert "error: output: out was made with dtype='float32'" in refused.stderr
    refused = run("--images=PHOTOS", "--output=PHOTOS/vectors")
    assert refused.returncode == 2
    assert "error: --output: expected a directory outside of --images" in refused.stderr
