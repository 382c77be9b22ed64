"""A part of the page, and HTML that several parts have."""

import dataclasses
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xsample_tf import pages


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        key: Its name in the page's data and the beginning of its elements' ids.
        title: Its heading, as plain text.
        html: What follows the heading.
        data: What its script draws, as for `pages.render`. Defaults to nothing.
    """

    key: str
    title: str
    html: str
    data: Mapping[str, Any] | None = None

    def render(self) -> str:
        """Returns the part as HTML."""
        template = (
            '<section aria-labelledby="{{key}}-title">\n<h2 id="{{key}}-title">{{title}}</h2>\n'
            "{{content_html}}\n</section>"
        )
        return pages.fill(template, key=self.key, title=self.title, content_html=self.html)


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: Plain text.
        kind: CSS classes. Defaults to none.
        html: HTML behind the text. Defaults to none.
    """

    text: str
    kind: str = ""
    html: str = ""

    def render(self, tag: str) -> str:
        """Returns the cell as HTML."""
        kind = f' class="{self.kind}"' if self.kind else ""
        return f"<{tag}{kind}>{html.escape(self.text)}{self.html}</{tag}>"


def table(head: Sequence[Cell], rows: Iterable[Sequence[Cell]], caption: str = "") -> str:
    """Returns HTML of a table whose rows begin with their names.

    Args:
        head: Names of the columns.
        rows: As many cells each.
        caption: What it shows, for screen readers. Defaults to none.
    """
    heading = "".join(cell.render("th") for cell in head)
    lines = []
    for first, *others in rows:
        cells = "".join(cell.render("td") for cell in others)
        lines.append(f"<tr>{first.render('th')}{cells}</tr>")
    # A box that scrolls can be reached by the keyboard.
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{html.escape(caption)}">'
        f"<table><thead><tr>{heading}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def items(lines: Iterable[str]) -> str:
    """Returns HTML of a list of plain texts."""
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"
