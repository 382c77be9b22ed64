"""The rooms of the package: no import circle, none that runs upwards, no folder too full.

Imports are read from the code, those inside of functions too.
"""

import ast
import collections
import graphlib

import pytest

# From the ground up: a room imports from those before it only.
ROOMS = (
    ("errors", "version"),
    ("tensorflow_errors",),
    ("backend",),
    ("arrays", "devices", "files", "pages", "progress", "registry", "templates", "tensors"),
    ("graphs",),
    ("losses",),
    ("data",),
    ("models",),
    ("text",),
    ("evaluation",),
    ("export",),
    ("embedding", "search"),
    ("training",),
)
MOST_FILES = 16


def modules(repository):
    """Every module by its dotted name, with its syntax tree."""
    root = repository / "xsample_tf"
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(repository).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(found):
    """The modules that each module imports."""
    arrows = {}
    for name, tree in found.items():
        arrows[name] = set()
        for node in ast.walk(tree):
            targets = []
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name}: a relative import"
                targets = [
                    full if (full := f"{node.module}.{alias.name}") in found else node.module
                    for alias in node.names
                ]
            arrows[name] |= {target for target in targets if target in found}
    return arrows


@pytest.fixture(scope="module")
def arrows(repository):
    return imports(modules(repository))


def level(arrows, folder):
    """The arrows between what stands in a folder: files, and folders as one thing each."""
    depth = folder.count(".") + 1
    inside = collections.defaultdict(set)
    for name, targets in arrows.items():
        if not name.startswith(folder + "."):
            continue
        own = name.split(".")[depth]
        inside[own] |= {
            target.split(".")[depth] for target in targets if target.startswith(folder + ".")
        } - {own}
        # A file that imports its own folder's face is above what the face is made of.
        if folder in targets:
            inside[own].add("the folder's face")
            inside["the folder's face"] |= {
                target.split(".")[depth] for target in arrows[folder] if target != folder
            }
    return inside


def test_no_folder_has_a_circle_of_imports(arrows):
    folders = {name.rpartition(".")[0] for name in arrows if "." in name}
    for folder in sorted(folders):
        try:
            tuple(graphlib.TopologicalSorter(level(arrows, folder)).static_order())
        except graphlib.CycleError as error:
            pytest.fail(f"{folder}: {' -> '.join(error.args[1])}")


def test_modules_have_no_circle_of_imports(arrows):
    without_itself = {name: targets - {name} for name, targets in arrows.items()}
    tuple(graphlib.TopologicalSorter(without_itself).static_order())


def test_no_import_runs_upwards(arrows):
    floors = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
    for name, targets in arrows.items():
        if name == "xsample_tf":  # The face of the package.
            continue
        own = name.split(".")[1]
        for target in targets:
            assert target != "xsample_tf", f"{name} imports the package's face"
            other = target.split(".")[1]
            assert own == other or floors[other] < floors[own], f"{name} imports {target}"


def test_no_folder_is_too_full(repository):
    counts = collections.Counter(path.parent for path in (repository / "xsample_tf").rglob("*.py"))
    assert {str(path): count for path, count in counts.items() if count > MOST_FILES} == {}
