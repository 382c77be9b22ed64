"""Taxonomies as lists of parents: the built-in ones, and files of a user's own."""

import dataclasses
import functools
import pathlib

from xsample_tf.errors import InputError

_FOLDER = pathlib.Path(__file__).parent / "taxonomies"
BUILT_IN = ("cifar100", "imagenet")
_ROOT = ""  # Above all, where a list has several roots.


@dataclasses.dataclass(frozen=True)
class Taxonomy:
    """Nodes and their parents.

    Attributes:
        name: Where it is from, for messages.
        parents: The parents of each node, none of the root's.
        names: Nodes by name, in lower case: first the nodes that are called so, then those of which
            it is another name.
        order: The nodes in the order of the list.
    """

    name: str
    parents: dict[str, tuple[str, ...]]
    names: dict[str, tuple[list[str], list[str]]]
    order: tuple[str, ...]

    def nodes_of(self, class_names: tuple[str, ...]) -> list[str | None]:
        """Returns the node of each class, None where there is none or several could be meant.

        Of several nodes of a name that counts whose place in the list is the class's (ImageNet's
        own names have two cranes), else leaves before inner nodes, and best names before others.
        """
        return [self._node(name, number) for number, name in enumerate(class_names)]

    def _node(self, class_name: str, number: int) -> str | None:
        names = self.names.get(_plain(class_name), ([], []))
        if number < len(self.order) and any(self.order[number] in found for found in names):
            return self.order[number]
        of_leaves = [[node for node in found if node in self.leaves] for found in names]
        first = next((found for found in (*of_leaves, *names) if found), [])
        return first[0] if len(first) == 1 else None

    def ancestors(self, node: str) -> dict[str, int]:
        """Returns the node and all above it, with the fewest edges to each."""
        found, level = {node: 0}, [node]
        while level:
            above = [parent for one in level for parent in self.parents[one]]
            level = [parent for parent in dict.fromkeys(above) if parent not in found]
            found |= dict.fromkeys(level, max(found.values()) + 1)
        return found

    def depth(self, node: str) -> int:
        """Returns the nodes on the longest way from the root to a node, 1 at the root."""
        return self._depths[node]

    @functools.cached_property
    def leaves(self) -> frozenset[str]:
        """The nodes that are no parents."""
        return frozenset(self.parents).difference(*self.parents.values())

    @functools.cached_property
    def _depths(self) -> dict[str, int]:
        depths: dict[str, int] = {}
        waiting = list(self.parents)
        while waiting:
            ready = [n for n in waiting if all(parent in depths for parent in self.parents[n])]
            if not ready:
                raise InputError(
                    f"taxonomy: expected classes below their parents in {self.name}, received "
                    f"{waiting[0]!r}, which is above itself; mend its lines"
                )
            for node in ready:
                depths[node] = 1 + max((depths[p] for p in self.parents[node]), default=0)
            waiting = [node for node in waiting if node not in depths]
        return depths


@functools.lru_cache(maxsize=4)
def read_taxonomy(name: str) -> Taxonomy:
    """Reads a built-in taxonomy by its name, or a file.

    A file has lines NODE<TAB>PARENT, or NODE<TAB>PARENT<TAB>NAME|NAME with what the node is called,
    best name first; a node with several parents has several lines. Lines that begin with # are
    comments.

    Raises:
        InputError: A file that cannot be read, a line that is not one, or a circle of parents.

    Example:
        >>> read_taxonomy("cifar100").ancestors("rose")
        {'rose': 0, 'flowers': 1, '': 2}
    """
    path = _FOLDER / f"{name}.tsv" if name in BUILT_IN else pathlib.Path(name)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"taxonomy: expected {', '.join(BUILT_IN)} or a file, received {name!r}, which cannot "
            f"be read ({error})"
        ) from error
    parents: dict[str, list[str]] = {}
    names: dict[str, tuple[list[str], list[str]]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        node, parent, others, *more = (*map(str.strip, line.split("\t")), "", "")
        if not node or not parent or any(more):
            raise InputError(
                f"taxonomy: expected CLASS<TAB>PARENT in line {number} of {name}, received {line!r}"
            )
        parents.setdefault(node, []).append(parent)
        _enter(names, node, 0, node)
        for rank, other in enumerate(filter(None, others.split("|"))):
            _enter(names, other, min(rank, 1), node)
    return _completed(name, parents, names)


def _completed(
    name: str,
    parents: dict[str, list[str]],
    names: dict[str, tuple[list[str], list[str]]],
) -> Taxonomy:
    """Adds the nodes that stand as parents alone, below one root."""
    order = tuple(parents)
    roots = list(dict.fromkeys(p for own in parents.values() for p in own if p not in parents))
    if not roots:
        raise InputError(f"taxonomy: expected a root in {name}, received none; mend its lines")
    for root in roots:
        _enter(names, root, 0, root)
    everything = {node: tuple(dict.fromkeys(own)) for node, own in parents.items()}
    above = (_ROOT,) if len(roots) > 1 else ()
    everything |= dict.fromkeys(roots, above) | ({_ROOT: ()} if above else {})
    taxonomy = Taxonomy(name, everything, names, order)
    taxonomy.depth(roots[0])  # Raises where there is a circle.
    return taxonomy


def _enter(names: dict[str, tuple[list[str], list[str]]], name: str, rank: int, node: str) -> None:
    """Enters a node under a name, once."""
    known = names.setdefault(_plain(name), ([], []))[rank]
    if node not in known:
        known.append(node)


def _plain(name: str) -> str:
    return name.replace("_", " ").strip().lower()
