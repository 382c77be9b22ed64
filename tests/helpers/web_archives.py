"""Archives exactly as `webdataset` and img2dataset 1.50 write them, of a few images."""

import io
import json
import pathlib
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from PIL import Image

STATUSES = {
    "success": 6,
    "HTTP Error 404: Not Found": 2,
    "HTTP Error 410: Gone": 1,
    "HTTP Error 503: Service Unavailable": 1,
    "<urlopen error [Errno -2] Name or service not known>": 2,
    "<urlopen error timed out>": 1,
    "<urlopen error [Errno 111] Connection refused>": 1,
    "Image decoding error": 1,
}
REJECTED = {  # With one of which only the count of all was kept.
    "fetch_connection": 1,
    "fetch_dns": 2,
    "fetch_http_4xx": 3,
    "fetch_http_5xx": 1,
    "fetch_other": 1,
    "fetch_timeout": 1,
    "fetch_undecodable": 1,
}


def jpeg(number: int, width: int = 24, height: int = 16) -> bytes:
    """A picture that is another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write_tar(path: pathlib.Path, members: list[tuple[str, bytes]]) -> str:
    """A tar as `webdataset.TarWriter` writes it: PAX headers, for times with fractions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(content), 1795621088.75, 0o444
            tar.addfile(member, io.BytesIO(content))
    return str(path)


def pair(key: str, number: int, caption: str | bytes, **fields) -> list[tuple[str, bytes]]:
    text = caption if isinstance(caption, bytes) else caption.encode()
    members = [(f"{key}.jpg", jpeg(number)), (f"{key}.txt", text)]
    return members + ([(f"{key}.json", json.dumps(fields).encode())] if fields else [])


def write_img2dataset(folder: pathlib.Path, output_format: str, shards: int = 2) -> str:
    """`shards` shards of 3 images each, and of links that failed; caption n is "caption n"."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        rows = [_fields(3 * shard + i) for i in range(3)]
        failed = _fields(90 + shard) | {"status": "failed_to_download", "width": None}
        _FORMATS[output_format](folder, f"{shard:05d}", rows)
        if output_format == "parquet":
            images = [jpeg(int(row["key"])) for row in rows]
            _write_parquet(folder, f"{shard:05d}", [failed, *rows], {"jpg": [None, *images]})
        else:
            _write_parquet(folder, f"{shard:05d}", [failed, *rows], {})
    stats = {"count": 16, "successes": 6, "failed_to_download": 8, "failed_to_resize": 2}
    stats |= {"duration": 1.5, "status_dict": STATUSES}
    (folder / "00000_stats.json").write_text(json.dumps(stats, indent=4))
    return str(folder)


def _fields(number: int) -> dict:
    return {
        "caption": f"caption {number}",
        "url": f"http://localhost/{number}.jpg",
        "key": f"{number:09d}",
        "status": "success",
        "error_message": None,
        "width": 24,
        "sha256": "0" * 64,
    }


def _write_tars(folder: pathlib.Path, name: str, rows: list[dict]) -> None:
    members = []
    for row in rows:
        key, number = row["key"], int(row["key"])
        fields = json.dumps(row, indent=4).encode()
        text = row["caption"].encode()
        members += [(f"{key}.jpg", jpeg(number)), (f"{key}.json", fields), (f"{key}.txt", text)]
    write_tar(folder / f"{name}.tar", members)


def _write_files(folder: pathlib.Path, name: str, rows: list[dict]) -> None:
    (folder / name).mkdir()
    for row in rows:
        place = folder / name / row["key"]
        place.with_suffix(".jpg").write_bytes(jpeg(int(row["key"])))
        place.with_suffix(".txt").write_text(row["caption"])
        place.with_suffix(".json").write_text(json.dumps(row, indent=4))


def _write_tfrecords(folder: pathlib.Path, name: str, rows: list[dict]) -> None:
    with tf.io.TFRecordWriter(str(folder / f"{name}.tfrecord")) as writer:
        for row in rows:
            sample = row | {"jpg": jpeg(int(row["key"])), "txt": row["caption"]}
            features = {name: _feature(value) for name, value in sample.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def _feature(value: object) -> tf.train.Feature:
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    content = value if isinstance(value, bytes) else (value or "").encode()
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))


def _write_parquet(folder: pathlib.Path, name: str, rows: list[dict], images: dict) -> None:
    columns = {column: [row[column] for row in rows] for column in rows[0]} | images
    pq.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=2)


def _nothing(folder: pathlib.Path, name: str, rows: list[dict]) -> None:
    """Parquet holds the images beside the links."""


_FORMATS = {
    "webdataset": _write_tars,
    "files": _write_files,
    "parquet": _nothing,
    "tfrecord": _write_tfrecords,
}
