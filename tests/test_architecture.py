"""The house of docs/architecture.md: imports run downward only, and each library is known in one place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "catalogd"
MOST_LINES = 450

# From the top of the house to its ground.
FLOORS = {
    4: {"__main__", "cli", "server", "http_channel", "http_parser", "polling", "sender", "memory", "upkeep", "workers"},
    3: {"web"},
    2: {
        *(
            "catalog",
            "proposals",
            "registry",
            "accounts",
            "activity",
            "people",
            "following",
            "lookout",
            "upstream",
            "choices",
            "rights",
        ),
        *("check", "check_formats", "merging", "forges"),
    },
    1: {"store", "readmodel", "state", "credentials", "sqlitefile", "throttle", "shared"},
    0: {"documents", "names", "giturl", "settings", "errors", "sample"},
}
FLOOR_OF = {part: floor for floor, parts in FLOORS.items() for part in parts}
# Parts that stand on floor 1 and know nothing of each other: catalog/ brings them together.
STORES = ("store", "readmodel", "state")

# A library, and the only parts that may import it.
KNOWN_ONLY_TO = {
    "git": {"store"},
    "gitdb": set(),
    "falcon": {"web"},
    "sqlalchemy": {"state"},
    "waitress": {"server", "http_channel", "http_parser", "polling"},
    "click": {"cli"},
    "prometheus_client": {"web"},
    "jsonschema": {"documents"},
    "referencing": {"documents"},
    "argon2": {"credentials"},
    "jwt": {"registry"},
    "cryptography": {"registry"},
    "urllib3": {"registry"},
}


def name_of(file: Path) -> str:
    """`catalogd.store.pack` for catalogd/store/pack.py, `catalogd.store` for its __init__.py."""
    parts = file.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(file.read_text()) for name, file in MODULES.items()}


def part_of(module: str) -> str | None:
    """The part of the house that a module of ours belongs to; None for the package itself."""
    return module.split(".")[1] if "." in module else None


@cache
def nodes(module: str) -> tuple[ast.AST, ...]:
    """All of the tree of a module of ours."""
    return tuple(ast.walk(TREES[module]))


@cache
def imports(module: str) -> tuple[str, ...]:
    """What a module imports: modules of ours by their full name, others by their first."""
    return tuple(_imported(module))


def _imported(module: str) -> Iterator[str]:
    for node in nodes(module):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import in line {node.lineno}"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] != "catalogd":
                yield name.split(".")[0]
                continue
            while name not in MODULES:
                name = name.rpartition(".")[0]
            yield name


def test_every_part_of_the_package_has_a_floor():
    assert {part_of(module) for module in MODULES} - {None} == FLOOR_OF.keys()


def between_parts() -> Iterator[tuple[str, str, str, str]]:
    """(module, its part, module that it imports, the part of that), of the imports from one part of ours to another."""
    for module in MODULES:
        for imported in imports(module):
            part, other = part_of(module), part_of(imported)
            if part is not None and other is not None and imported.startswith("catalogd") and other != part:
                yield module, part, imported, other


def test_imports_run_downward_only():
    upward = [(m, i) for m, part, i, other in between_parts() if FLOOR_OF[other] > FLOOR_OF[part]]
    assert upward == [], "the second of each is on a floor above the first"


def test_no_store_knows_another():
    assert [(m, i) for m, part, i, other in between_parts() if part in STORES and other in STORES] == []


def test_a_library_is_known_only_where_it_belongs():
    known = [(module, name) for module in MODULES for name in imports(module) if name in KNOWN_ONLY_TO]
    assert [(module, name) for module, name in known if part_of(module) not in KNOWN_ONLY_TO[name]] == []


def test_no_module_imports_itself_by_a_detour():
    # `catalogd` itself is only the version.
    graph = {module: set(imports(module)) & MODULES.keys() - {"catalogd", module} for module in MODULES}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a cycle of imports: {' imports '.join(reversed(error.args[1]))}")


def test_only_the_command_line_reads_flags_and_environment():
    forbidden = (("os", "environ"), ("os", "getenv"), ("sys", "argv"))
    readers = [
        f"{module}:{node.lineno}"
        for module in MODULES
        if part_of(module) not in ("cli", "__main__")
        for node in nodes(module)
        if isinstance(node, ast.Attribute) and (getattr(node.value, "id", None), node.attr) in forbidden
    ]
    assert readers == []


def test_a_repository_is_never_a_bare_repo():
    """Names that come from the interface (repo_name, repo_path, is_repo_starred) are the only ones."""
    bare = [
        f"{module}:{line} defines {name}"
        for module in MODULES
        for name, line in defined(nodes(module))
        if re.search(r"(?i)(^|_)repos?(_|$)", re.sub(r"(?i)repo_(name|path|starred)", "", name))
    ]
    assert bare == []


def defined(found: Iterable[ast.AST]) -> Iterator[tuple[str, int]]:
    """Every identifier that is defined in a module, with its line."""
    for node in found:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def test_no_module_is_so_long_that_it_is_probably_two():
    lengths = {module: len(file.read_text().splitlines()) for module, file in MODULES.items()}
    assert {module: lines for module, lines in lengths.items() if lines > MOST_LINES} == {}


def test_every_module_says_what_it_is():
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_the_map_names_every_module_and_no_other():
    text = (PROJECT / "docs" / "architecture.md").read_text()
    section = text.partition("## The floors\n")[2].partition("\n## ")[0]
    assert section, "docs/architecture.md has no section `The floors`"
    named = re.findall(r"^\| `([\w/]+\.py)` \|", section, re.MULTILINE)
    there = [file.relative_to(PACKAGE).as_posix() for file in MODULES.values() if file.name != "__init__.py"]
    assert sorted(named) == sorted(there)


def test_the_map_has_each_module_on_its_floor():
    text = (PROJECT / "docs" / "architecture.md").read_text()
    for floor, body in re.findall(r"^### Floor (\d).*?\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL):
        for path in re.findall(r"^\| `([\w/]+\.py)` \|", body, re.MULTILINE):
            part = path.partition("/")[0].removesuffix(".py")
            assert part in FLOORS[int(floor)], f"{path} is not on floor {floor}"
