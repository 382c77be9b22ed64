"""Pages: reports as one HTML file each, which opens from the disk and asks no network."""

from xsample_tf.pages.page import facts, fill, pack, picture, read_part, render, table

__all__ = ["facts", "fill", "pack", "picture", "read_part", "render", "table"]
