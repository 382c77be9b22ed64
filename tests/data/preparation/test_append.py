"""New images go behind those that are there: by the same rules, recoverably, with all vectors."""

import numpy as np
import pytest
from helpers.preparing import Encoder, all_bytes, contents, quiet, run, table, write_png

from xsample_tf import data
from xsample_tf.data import manifest, sources
from xsample_tf.data.preparation import append as module
from xsample_tf.data.preparation.caption_vectors import EmbeddingJob
from xsample_tf.errors import InputError


def append(source, output, encoders=(), **arguments):
    options = sources.Options(**arguments.pop("options", {}))
    made = data.append(source, output, encoders, options=options, log=quiet, **arguments)
    assert made is None or manifest.read_dataset(output) == made
    return made


def write_table(folder, numbers, name="caption"):
    folder.mkdir(exist_ok=True)
    for i in numbers:
        write_png(folder / f"{i}.png", i)
    return table(folder, [(f"{i}.png", f"{name} {i}") for i in numbers])


@pytest.fixture
def prepared(tmp_path):
    first = write_table(tmp_path / "first", range(20))
    encoders = [Encoder(), Encoder("other", "other")]
    run(
        first, tmp_path / "out", encoders, options={"validation_fraction": 0.3}, records_per_shard=8
    )
    return tmp_path / "out"


def test_new_images_follow_the_old_ones(prepared, tmp_path):
    before = contents(manifest.read_dataset(prepared))
    old = all_bytes(prepared)
    encoders = [Encoder(), Encoder("other", "other")]
    made = append(write_table(tmp_path / "more", range(15, 40)), prepared, encoders)
    assert made.rejected == {"already_there": 5}
    after = contents(made)
    assert sum(map(len, after.values())) == 40
    for split, rows in before.items():
        for key, row in rows.items():
            assert after[split][key]["image"] == row["image"]
            assert np.array_equal(after[split][key]["other"], row["other"])
    new = after["train"]["30.png"] if "30.png" in after["train"] else after["val"]["30.png"]
    expected = Encoder.vector("caption 30").astype("<f2")
    np.testing.assert_allclose(new["toy"][0], expected, atol=1e-3)
    # The share for validation is that of the first preparation; its files are as they were.
    assert 0.1 < made.records("val") / 40 < 0.5
    unchanged = {name for name in old if name.startswith(("train", "val"))}
    assert all(all_bytes(prepared)[name] == old[name] for name in unchanged)
    assert max(shard.records for shard in made.splits["train"]) <= 8
    assert not data.check(prepared, log=quiet)
    assert not (prepared / "appending").exists()
    # Again there is nothing new.
    with pytest.raises(InputError, match="already_there 25"):
        append(write_table(tmp_path / "more", range(15, 40)), prepared, encoders)


@pytest.mark.parametrize("moment", ["images", "moved", "first encoder", "manifest"])
def test_an_append_that_is_killed_goes_on(prepared, tmp_path, monkeypatch, moment):
    source = write_table(tmp_path / "more", range(20, 40))
    encoders = [Encoder(), Encoder("other", "other")]

    def die(*arguments, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if moment == "images":
            patch.setattr(module, "_publish", die)
        elif moment == "moved":
            publish = module._publish
            patch.setattr(module, "_publish", lambda *a: (publish(*a), die()))
        elif moment == "first encoder":
            embed = EmbeddingJob.run
            patch.setattr(EmbeddingJob, "run", lambda *a: (embed(*a), die()))
        else:
            patch.setattr(module.manifest, "write_dataset", die)
        append(source, prepared, encoders)
    # Until the end the directory is what it was.
    assert sum(manifest.read_dataset(prepared).records(split) for split in ("train", "val")) == 20
    made = append(source, prepared, encoders)
    whole = write_table(tmp_path / "first", range(20))
    run(
        whole,
        tmp_path / "again",
        encoders,
        options={"validation_fraction": 0.3},
        records_per_shard=8,
    )
    append(source, tmp_path / "again", encoders)
    ours, expected = all_bytes(prepared), all_bytes(tmp_path / "again")
    assert ours == expected
    assert sum(made.records(split) for split in made.splits) == 40


def test_new_classes_get_the_last_ids(tmp_path):
    for folder, names in (("first", ("cat", "dog")), ("more", ("ant", "cat", "emu"))):
        for number, name in enumerate(names):
            write_png(tmp_path / folder / name / f"{folder}.png", number + 10 * len(folder))
    run(
        f"folder:{tmp_path}/first",
        tmp_path / "out",
        [Encoder()],
        options={"validation_fraction": 0},
    )
    made = append(f"folder:{tmp_path}/more", tmp_path / "out", [Encoder()])
    assert made.class_names == ("cat", "dog", "ant", "emu")
    labels = {key: row["label"] for key, row in contents(made)["train"].items()}
    assert labels == {
        "cat/first.png": 0,
        "dog/first.png": 1,
        "ant/more.png": 2,
        "cat/more.png": 0,
        "emu/more.png": 3,
    }
    assert made.class_embeddings().shape == (4, 5)


def test_what_does_not_fit_is_one_line(prepared, tmp_path):
    more = write_table(tmp_path / "more", range(20, 24))
    with pytest.raises(InputError, match="the text encoders of .*, other, toy, received toy"):
        append(more, prepared, [Encoder()])
    with pytest.raises(InputError, match="expected a data directory that is prepared"):
        append(more, tmp_path / "nowhere", [])
    both = [Encoder(), Encoder("other", "other")]
    write_png(tmp_path / "raw" / "cat" / "0.png", 3)
    with pytest.raises(InputError, match="expected a source with captions"):
        append(f"folder:{tmp_path}/raw", prepared, both)
    before = all_bytes(prepared)
    assert append(more, prepared, both, dry_run=True) is None
    assert all_bytes(prepared) == before


def test_beside_a_validation_source_all_that_is_new_trains(tmp_path):
    first = write_table(tmp_path / "first", range(20))
    own = write_table(tmp_path / "own", range(100, 104))
    run(first, tmp_path / "out", validation_source=own, options={"validation_fraction": 0.5})
    made = append(write_table(tmp_path / "more", range(20, 40)), tmp_path / "out")
    assert (made.records("train"), made.records("val")) == (40, 4)
