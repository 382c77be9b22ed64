"""Makes the tables of this folder from the public files that README.md names.

    python xsample_tf/evaluation/tables/make_tables.py DIR

DIR has the public files, in the folders that README.md gives.
"""

import gzip
import json
import lzma
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
_SMALLEST = 9 | lzma.PRESET_EXTREME


def main(public: pathlib.Path) -> None:
    """Writes all tables."""
    classes = _read(public / "imagenet" / "class_info.json")
    assert [row["index"] for row in classes] == list(range(1000))
    _write_classes(public, classes)
    _write_objectnet(public, classes)
    _write_real(public)
    _write_templates(public)
    for share in ("1percent", "10percent"):
        names = gzip.open(public / "imagenet" / f"simclr_{share}.txt.gz", "rt").read().split()
        _compress(f"imagenet_{share}.txt.xz", sorted(names))


def _write_classes(public: pathlib.Path, classes: list[dict]) -> None:
    """A line for each of the 1,000 classes: WordNet id, name, group of ImageNet-9, subsets."""
    group = {int(k): v for k, v in _read(public / "imagenet9" / "in_to_in9.json").items()}
    subsets = {
        letter: {
            row["imagenet_index"]
            for row in _read(public / "imagenet" / f"imagenet_{letter}_classes.json")
        }
        for letter in ("a", "r")
    }
    assert all(len(found) == 200 for found in subsets.values())
    lines = [
        "# WordNet id, name in prompts, group of ImageNet-9 or -1, in ImageNet-A (a) and -R (r)"
    ]
    for row in classes:
        marks = "".join(letter for letter in "ar" if row["index"] in subsets[letter])
        lines.append(f"{row['wnid']}\t{row['clip_name']}\t{group[row['index']]}\t{marks}")
    (HERE / "imagenet.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_objectnet(public: pathlib.Path, classes: list[dict]) -> None:
    """A line for each folder of ObjectNet that ImageNet has classes of: folder, their indices."""
    folder_of = {
        label: folder
        for folder, label in _read(public / "objectnet" / "folder_to_objectnet_label.json").items()
    }
    index_of = {row["synset"]: row["index"] for row in classes}
    lines = ["# Folder of ObjectNet, indices of its ImageNet classes"]
    joined = _read(public / "objectnet" / "objectnet_to_imagenet_1k.json")
    for folder, names in sorted((folder_of[label], names) for label, names in joined.items()):
        indices = sorted(index_of[name] for name in names.split("; "))
        lines.append(f"{folder}\t{','.join(map(str, indices))}")
    assert len(lines) == 1 + 113
    (HERE / "objectnet.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_real(public: pathlib.Path) -> None:
    """A line for each validation image in the order of their names: its labels, or nothing."""
    lists = _read(public / "imagenet" / "real.json")
    assert len(lists) == 50_000
    _compress("imagenet_real.txt.xz", [" ".join(map(str, labels)) for labels in lists])


def _write_templates(public: pathlib.Path) -> None:
    """Prompts of zero-shot classification by data set, with {} for the class."""
    templates = _read(public / "imagenet" / "zeroshot_templates.json")
    content = {name: [t.replace("{c}", "{}") for t in own] for name, own in templates.items()}
    text = json.dumps(content, indent=1) + "\n"
    (HERE / "templates.json").write_text(text, encoding="utf-8")


def _read(path: pathlib.Path) -> object:
    return json.loads(path.read_text(encoding="utf-8"))


def _compress(name: str, lines: list[str]) -> None:
    content = ("\n".join(lines) + "\n").encode()
    (HERE / name).write_bytes(lzma.compress(content, preset=_SMALLEST))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
