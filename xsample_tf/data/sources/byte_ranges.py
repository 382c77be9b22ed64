"""Images and texts that lie inside of larger files: where, in tars and TFRecord files."""

import dataclasses
import os
import tarfile
from collections.abc import Iterator

from xsample_tf.data import image_files
from xsample_tf.errors import InputError


@dataclasses.dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes of a file, where an image or a text lies."""

    file: str
    offset: int
    size: int

    def read(self) -> bytes:
        """Returns the bytes; an `images.ImageError` says why there are none."""
        try:
            with open(self.file, "rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
        except OSError as error:
            raise image_files.ImageError("unreadable_file") from error
        if len(content) < self.size:
            raise image_files.ImageError("unreadable_file")
        return content


def tar_members(
    file: str, start: int = 0, stop: int | None = None
) -> Iterator[tuple[str, ByteRange] | None]:
    """Yields name and place of each file of a plain tar, and None after the last if it is damaged.

    Args:
        file: The file that the tar is, or that it stands in.
        start: Where it begins there.
        stop: Where it ends; None is the end of the file.

    Raises:
        InputError: the file cannot be read.
    """
    whole = False
    try:
        with open(file, "rb") as content:
            stop = stop or os.path.getsize(file)
            content.seek(start)
            with tarfile.open(fileobj=content, mode="r:") as tar:
                for member in tar:
                    if member.offset_data + member.size > stop:
                        break
                    if member.isreg():
                        yield member.name, ByteRange(file, member.offset_data, member.size)
                content.seek(tar.offset)  # A tar ends with empty blocks.
                whole = content.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
    except OSError as error:
        raise InputError(f"source: cannot read {file} ({error.strerror})") from error
    except (tarfile.TarError, EOFError, ValueError):  # What a header is garbled to.
        pass
    if not whole:
        yield None


def record_ranges(file: str) -> tuple[list[ByteRange], bool]:
    """Returns where each record of a TFRecord file lies, and whether it ends with a record."""
    size, offset, found = os.path.getsize(file), 0, []
    with open(file, "rb") as content:
        while offset < size:
            content.seek(offset)
            length = int.from_bytes(content.read(8), "little")
            end = offset + 16 + length  # Length, its checksum, the record, its checksum.
            if end > size:
                break
            found.append(ByteRange(file, offset + 12, length))
            offset = end
    return found, offset == size
