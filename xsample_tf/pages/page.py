"""Builds a self-contained HTML page from a body, scripts and data.

`page.html` is the frame of all pages, `page.css` their look (dark mode, phones, print) and
`page.js` what their scripts share: `page.data`, `page.array`, charts and canvases. Whatever comes
from a user's data goes through `render`'s data, `facts`, `table` or the escaping of `fill`, never
into HTML as it is.
"""

import base64
import html
import importlib.resources
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

_FIELD = re.compile(r"\{\{(\w+)\}\}")
# Inside of a script element, "<" could end it, and these two separators were line ends in scripts.
_ESCAPES = {letter: f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def render(
    title: str, body: str, scripts: Sequence[str], data: Mapping[str, Any], style: str = ""
) -> str:
    """Returns a whole page.

    Args:
        title: Title of the window, as plain text.
        body: HTML of the page's main part.
        scripts: JavaScript, run in order behind `page.js`.
        data: What the scripts find as `page.data`: numbers, strings, lists, dicts, and arrays from
            `pack`.
        style: CSS of this page, behind `page.css`.

    Raises:
        ValueError: The data has NaN or infinity, which JSON lacks.

    Example:
        >>> text = render("Scores", "<h1>Scores</h1><p id=score></p>", [SCRIPT], {"score": 0.5})
    """
    encoded = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter, escape in _ESCAPES.items():
        encoded = encoded.replace(letter, escape)
    code = "\n".join([read_part(__package__, "page.js"), *scripts])
    frame = read_part(__package__, "page.html")
    style = "\n".join([read_part(__package__, "page.css"), style])
    parts = {"title": html.escape(title), "style": style, "body": body}
    return _insert(frame, parts | {"data": encoded, "script": code})


def fill(template: str, **fields: str) -> str:
    """Returns HTML with `{{name}}` replaced by each field, plain text but for names with `_html`.

    Example:
        >>> fill("<p>{{name}}</p>{{rest_html}}", name="a < b", rest_html="<hr>")
        '<p>a &lt; b</p><hr>'
    """
    return _insert(
        template,
        {
            name: value if name.endswith("_html") else html.escape(value)
            for name, value in fields.items()
        },
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Returns HTML of a list of names and values, both plain text."""
    rows = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in pairs
    )
    return f'<dl class="facts">{rows}</dl>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns HTML of a table of plain texts."""

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f"<table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>"


def pack(array: np.ndarray) -> dict[str, str]:
    """Returns an array as the data that `page.array` makes a typed array of.

    Args:
        array: Of float32, float64, uint8, uint16 or int32; its shape is not kept.
    """
    content = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {"type": array.dtype.name, "base64": base64.b64encode(content.tobytes()).decode()}


def picture(content: bytes, kind: str = "jpeg") -> str:
    """Returns the address that holds an image file itself, for `src`."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def read_part(package: str, name: str) -> str:
    """Returns a file of a package: HTML, CSS or JavaScript."""
    return (importlib.resources.files(package) / name).read_text(encoding="utf-8")


def _insert(template: str, parts: Mapping[str, str]) -> str:
    """Returns the template with its fields, in one pass: what is inserted is not looked at."""
    return _FIELD.sub(lambda field: parts[field.group(1)], template)
