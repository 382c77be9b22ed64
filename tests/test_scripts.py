"""What the scripts of tools/ and benchmarks/ import is there: most of them no other test runs."""

import ast
import importlib
import pathlib

import pytest

FOLDERS = ("tools", "benchmarks")


def names(path: pathlib.Path):
    """(module, name) of every `from module import name` of a script."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)


def defined(path: pathlib.Path) -> set[str]:
    """What a script defines at its top level, or imports there."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                found.add(part.id)
            elif isinstance(part, ast.FunctionDef | ast.ClassDef):
                found.add(part.name)
            elif isinstance(part, ast.Import | ast.ImportFrom):
                found |= {alias.asname or alias.name for alias in part.names}
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_scripts_import_what_is_there(folder, repository):
    scripts = {path.stem: path for path in sorted((repository / folder).glob("*.py"))}
    assert len(scripts) >= 5
    missing = []
    for script, path in scripts.items():
        for module, name in names(path):
            if module in scripts:
                there = name is None or name in defined(scripts[module])
            elif module.split(".")[0] == "xsample_tf":
                there = is_there(module, name)
            else:  # A library, which benchmarks may have in an environment of their own.
                there = not (repository / "tests" / module.split(".")[0]).exists()
            if not there:
                missing.append(f"{folder}/{script}.py: {module} {name or ''}")
    assert not missing


def is_there(module: str, name: str | None) -> bool:
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        return False
    if name is None or hasattr(found, name):
        return True
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True
