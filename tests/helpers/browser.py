"""JavaScript in a program that has it: pages in headless Chromium, plain scripts in Node too."""

import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
from typing import Any
from urllib.parse import unquote

import pytest

# What is inserted before all scripts of a page, and behind them.
_BEFORE = """<script>window.failures = [];
// Without a window there are no frames to wait for.
requestAnimationFrame = (draw) => setTimeout(draw, 16);
addEventListener("error", (event) => failures.push(String(event.message)));
addEventListener("unhandledrejection", (event) => failures.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => failures.push(event.blockedURI));
console.error = (...words) => failures.push(words.join(" "));
</script>"""
_BEHIND = """<script>(async () => {
const frame = () => new Promise((done) => setTimeout(done, 200));
let found = null;
try { found = await (async () => { SCRIPT })(); } catch (error) { failures.push(String(error)); }
const text = encodeURIComponent(JSON.stringify([found, failures]));
document.documentElement.setAttribute("data-found", btoa(text));
})();</script>"""


def chromium() -> str:
    """Returns the program; skips where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return name
    pytest.skip("no chromium on this machine (on Debian: apt-get install chromium)")


def run_page(page: str, script: str, directory: pathlib.Path, *flags: str) -> tuple[Any, list[str]]:
    """Opens a page from the disk and runs a script behind its own.

    Args:
        page: HTML.
        script: Body of an async function. `await frame()` waits until the page is drawn.
        directory: A new one, for the page and the browser's profile.
        *flags: Of the browser.

    Returns:
        What the script returns, and all errors of the page.
    """
    file = directory / "page.html"
    behind = _BEHIND.replace("SCRIPT", script)
    page = page.replace("<head>", f"<head>{_BEFORE}", 1).replace("</body>", f"{behind}</body>")
    file.write_text(page, encoding="utf-8")
    command = [
        chromium(),
        "--headless=new",
        "--disable-gpu",
        f"--user-data-dir={directory}/profile",
    ]
    command += ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses root otherwise.
    command += ["--virtual-time-budget=20000", "--dump-dom", *flags, file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    encoded = re.search(r'data-found="([^"]*)"', done.stdout)
    assert encoded, done.stderr[-2000:]
    text = base64.b64decode(encoded.group(1)).decode()
    found, failures = json.loads(unquote(text))
    return found, failures


def run_script(code: str, call: str, directory: pathlib.Path) -> Any:
    """Returns the value of an expression behind some code that needs no page.

    Args:
        code: JavaScript.
        call: An expression whose value is JSON.
        directory: For files of the browser, which runs it where there is no Node.
    """
    node = shutil.which("node")
    if not node:
        page = f"<html><head></head><body><script>{code}</script></body></html>"
        found, failures = run_page(page, f"return {call};", directory)
        assert not failures
        return found
    file = directory / "script.js"
    file.write_text(f"{code}\nconsole.log(JSON.stringify({call}));", encoding="utf-8")
    done = subprocess.run([node, str(file)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
