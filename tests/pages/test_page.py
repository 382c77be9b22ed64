"""The frame of all pages: data and text that come from users stay data and text."""

import ast
import fnmatch
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers import browser

from xsample_tf import pages

NASTY = "</script><script>alert(\"x\")</script> & 'quoted' \u2028 <!-- <b>"


class Scripts(HTMLParser):
    """The scripts of a page as a browser's parser finds them."""

    def __init__(self, page):
        super().__init__()
        self.found, self._open = [], False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self._open = tag == "script"
        if self._open:
            self.found.append("")

    def handle_data(self, data):
        if self._open:
            self.found[-1] += data

    def handle_endtag(self, tag):
        self._open = False


def test_data_stays_within_its_script():
    page = pages.render(NASTY, "<p>{{no field}}</p>", ["run();"], {NASTY: [NASTY, 1.5, None]})
    scripts = Scripts(page).found
    assert len(scripts) == 2 and scripts[1].rstrip().endswith("run();")
    assert json.loads(scripts[0]) == {NASTY: [NASTY, 1.5, None]}
    assert "<script>alert" not in page
    with pytest.raises(ValueError, match="not JSON compliant"):
        pages.render("", "", [], {"value": float("nan")})


def test_fields_are_escaped_and_not_looked_at_again():
    filled = pages.fill("<p>{{a}}</p>{{b_html}}", a="{{b_html}}<i>", b_html="<hr>{{a}}")
    assert filled == "<p>{{b_html}}&lt;i&gt;</p><hr>{{a}}"
    for made in (pages.table([NASTY], [[NASTY]]), pages.facts([(NASTY, NASTY)])):
        assert "<script" not in made and "<b>" not in made and "&quot;x&quot;" in made


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8", "uint16", "int32"])
def test_arrays_arrive_as_they_were(kind, repository, tmp_path):
    values = np.array([0, 1, 2, 200]).astype(kind) / (1 if "int" in kind else 7)
    values = values.astype(kind)
    shared = (repository / "xsample_tf" / "pages" / "page.js").read_text(encoding="utf-8")
    decode = re.search(r"const TYPES = .*?};", shared, re.DOTALL).group()
    decode += re.search(r"function array\(packed\) \{.*?\n  \}", shared, re.DOTALL).group()
    packed = json.dumps(pages.pack(values))
    assert browser.run_script(decode, f"Array.from(array({packed}))", tmp_path) == values.tolist()


def test_nothing_of_a_page_asks_the_network(repository):
    page = pages.render("", "", [], {})
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)=["']?(?!data:)\w|@import|url\(|fetch\(""", page)


def test_all_files_of_the_package_are_installed(repository):
    """What is no module goes into a wheel only where setup.py names it."""
    tree = ast.parse((repository / "setup.py").read_text(encoding="utf-8"))
    named = next(
        ast.literal_eval(keyword.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "package_data"
    )
    patterns = [
        f"{package.replace('.', '/')}/{name}" for package, names in named.items() for name in names
    ]
    files = [
        str(path.relative_to(repository))
        for path in (repository / "xsample_tf").rglob("*.*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert any(path.endswith("page.js") for path in files)
    left_out = [path for path in files if not any(fnmatch.fnmatch(path, p) for p in patterns)]
    assert not left_out
