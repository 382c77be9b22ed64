"""ImageNet's tars give what the folders of the unpacked images give."""

import io
import pathlib
import tarfile

import numpy as np
import pytest
import scipy.io
from helpers import web_archives as made

from xsample_tf.data import prepare, sources
from xsample_tf.errors import InputError

SYNSETS = {1: ("n00000003", "crane"), 2: ("n00000001", "tench"), 300: ("n00000002", "kit fox")}
VALIDATION = ["n00000002", "n00000003", "n00000002", "n00000001"]


@pytest.fixture
def tars(tmp_path) -> pathlib.Path:
    """Three classes of four images, and four validation images, packed and unpacked."""
    root = tmp_path / "tars"
    root.mkdir()
    inner, number = [], 0
    for wnid, _ in sorted(SYNSETS.values(), reverse=True):
        members = []
        for _ in range(4):
            members.append((f"{wnid}_{100 - number}.JPEG", made.jpeg(number)))
            put(tmp_path / "folders" / "train" / wnid / members[-1][0], members[-1][1])
            number += 1
        made.write_tar(root / "inner.tar", members)
        inner.append((f"{wnid}.tar", (root / "inner.tar").read_bytes()))
    (root / "inner.tar").unlink()
    made.write_tar(root / "ILSVRC2012_img_train.tar", inner)
    members = []
    for i, wnid in enumerate(VALIDATION, 1):
        members.append((f"ILSVRC2012_val_{i:08d}.JPEG", made.jpeg(50 + i)))
        put(tmp_path / "folders" / "val" / wnid / members[-1][0], members[-1][1])
    made.write_tar(root / "ILSVRC2012_img_val.tar", members)
    return root


def put(path: pathlib.Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def meta() -> bytes:
    """The devkit's meta.mat in small."""
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")]
    rows = [(number, *names) for number, names in SYNSETS.items()]
    file = io.BytesIO()
    scipy.io.savemat(
        file, {"synsets": np.array(rows, fields)[:, None]}, do_compression=True, oned_as="column"
    )
    return file.getvalue()


def devkit() -> dict[str, bytes]:
    numbers = {wnid: number for number, (wnid, _) in SYNSETS.items()}
    truth = "".join(f"{numbers[wnid]}\n" for wnid in VALIDATION).encode()
    names = ("meta.mat", "ILSVRC2012_validation_ground_truth.txt")
    return dict(zip(names, (meta(), truth), strict=True))


def opened(root: pathlib.Path, **options) -> sources.Source:
    return sources.open_source(f"imagenet:{root}", sources.Options(**options))


@pytest.mark.parametrize("form", ["packed", "unpacked", "beside"])
def test_the_devkit_gives_names_and_validation_classes(form, tars):
    if form == "packed":
        with tarfile.open(tars / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
            for name, content in devkit().items():
                member = tarfile.TarInfo(f"ILSVRC2012_devkit_t12/data/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    else:
        folder = tars if form == "beside" else tars / "ILSVRC2012_devkit_t12" / "data"
        for name, content in devkit().items():
            put(folder / name, content)
    source = opened(tars)
    assert source.classes.keys == ("n00000001", "n00000002", "n00000003")
    assert source.classes.names == ("tench", "kit fox", "crane")
    assert source.counts == {"train": 12, "val": 4}
    found = {sample.key: sample for sample in source.samples("val", 0, 4)}
    for i, wnid in enumerate(VALIDATION, 1):
        sample = found[f"val/{wnid}/ILSVRC2012_val_{i:08d}.JPEG"]
        assert sample.label == int(wnid[-1]) - 1
        assert source.read(sample.image) == made.jpeg(50 + i)


LISTS = {
    "imagenet_2012_validation_synset_labels.txt": "".join(f"{wnid}\n" for wnid in VALIDATION),
    "val.txt": "".join(f"ILSVRC2012_val_{i:08d}.JPEG {VALIDATION[i - 1]}\n" for i in (4, 2, 1, 3)),
    "LOC_val_solution.csv": "ImageId,PredictionString\n"
    + "".join(f"ILSVRC2012_val_{i:08d},{VALIDATION[i - 1]} 1 2 3 4 \n" for i in (3, 1, 2, 4)),
}


@pytest.mark.parametrize("name", LISTS)
def test_tars_and_unpacked_folders_give_the_same_shards(name, tars, tmp_path):
    (tars / name).write_text(LISTS[name])
    shards = {}
    for kind, where in (("imagenet", tars), ("folder", tmp_path / "folders")):
        output = tmp_path / kind
        dataset = prepare(f"{kind}:{where}", output, records_per_shard=5, log=lambda line: None)
        shards[kind] = {path.relative_to(output): path.read_bytes()
                        for path in output.rglob("*.tfrecord")}  # fmt: skip
        assert (dataset.records("train"), dataset.records("val")) == (12, 4)
    assert shards["imagenet"] == shards["folder"]


def test_training_images_alone_are_split(tars):
    (tars / "ILSVRC2012_img_val.tar").unlink()
    source = opened(tars, class_names=("n00000003\tcrane", "n00000001\ttench"))
    assert source.counts == {"all": 12}
    labels = sorted(sample.label for sample in source.samples("all", 0, 12))
    assert labels == [sources.UNKNOWN_CLASS] * 4 + [0] * 4 + [1] * 4


def test_what_is_missing_or_wrong_is_one_line(tars, tmp_path):
    with pytest.raises(InputError, match=r"no ILSVRC2012_img_train\.tar in .*folder:"):
        opened(tmp_path)
    with pytest.raises(InputError, match=r"classes of 4 images .* found 0; put .*devkit_t12"):
        opened(tars)
    (tars / "val.txt").write_text("\n".join(VALIDATION[:3]))
    with pytest.raises(InputError, match="classes of 4 images .* found 3"):
        opened(tars)
    (tars / "meta.mat").write_bytes(meta()[:300])
    with pytest.raises(InputError, match=r"cannot read meta\.mat"):
        opened(tars)
    (tars / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(b"no tar")
    (tars / "meta.mat").unlink()
    with pytest.raises(InputError, match=r"cannot read meta\.mat of .*devkit_t12\.tar\.gz"):
        opened(tars)


def test_a_training_tar_that_is_cut_short_gives_what_stands_before(tars):
    (tars / "ILSVRC2012_img_val.tar").unlink()
    tar = tars / "ILSVRC2012_img_train.tar"
    content = tar.read_bytes()
    tar.write_bytes(content[: content.index(made.jpeg(9)) + 5])
    source = opened(tars)
    assert source.counts == {"all": 8}  # The inner tar that is cut is left out as a whole.
    assert source.rejected == {"archive_damaged": 1}
