"""README and guides: links lead somewhere, and commands have flags that exist."""

import dataclasses
import functools
import pathlib
import re

import pytest

from xsample_tf import registry
from xsample_tf.evaluation import TASKS
from xsample_tf.training import Options

_ROOT = pathlib.Path(__file__).parent.parent
PAGES = [_ROOT / "README.md", _ROOT / "CHANGELOG.md", *sorted((_ROOT / "docs").glob("*.md"))]


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: pathlib.Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page, each of another text."""
    headings = re.findall(r"^#+ (.*)$", without_code(page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    text = without_code(page.read_text("utf-8"))
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[\w+\]: (\S+)", text, re.M)
    lost = []
    for link in links:
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert not lost


@functools.cache
def known_flags() -> set[str]:
    sources = [*_ROOT.glob("tools/*.py"), *_ROOT.glob("benchmarks/*.py")]
    sources += [*_ROOT.glob("xsample_tf/**/*.py"), *_ROOT.glob("docs/*.md")]
    text = "\n".join(source.read_text("utf-8") for source in sources)
    names = re.findall(r'(?:DEFINE_\w+|\bOption)\(\s*"(\w+)"', text)
    names += re.findall(r'add_argument\(\s*"--(\w+)"', text)
    names += registry.declared_options(TASKS)
    return {*names, *(field.name for field in dataclasses.fields(Options)), "flagfile", "import"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_flags_that_exist(page):
    known = known_flags()
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    commands = "\n".join(blocks).replace("\\\n", " ").splitlines()
    unknown = []
    for command in commands:
        found = re.search(r"python (?:tools|benchmarks)/\w+\.py(.*)", command)
        # Words inside quotes are flags of other programs.
        words = re.sub(r"'[^']*'", "''", found.group(1)).split() if found else []
        for word in words:
            name = re.match(r"--(\w+)", word)
            if name and not {name.group(1), name.group(1).removeprefix("no")} & known:
                unknown.append(f"{name.group()} in {command.strip()}")
    assert not unknown
