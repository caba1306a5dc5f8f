"""Imports point down and form no cycle, and each library stays in its place."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import pytest

from celeryql.settings import PROJECT_ROOT

# What each package may import of the others.
FLOORS = {
    "bench": {"celeryql", "graphql_api", "ml", "tasks"},
    "graphql_api": {"celeryql"},
    "tasks": {"celeryql", "ml"},
    "celeryql": set(),
    "ml": set(),
}
# Sub-packages from the top down: each imports those below it, and the files of the package itself.
SUB_PACKAGES = {
    "celeryql": (
        *("adopt", "submission", "watching", "worker", "workflow"),
        *("broker", "state", "definition", "observability"),
    ),
    "graphql_api": (
        *("local", "transport", "pages", "resolvers", "derived"),
        *("types", "execution", "observability", "auth"),
    ),
}
# Where a library may be imported.
LIBRARIES = {
    "strawberry": ("graphql_api/",),
    "fastapi": ("graphql_api/",),
    "graphql": ("graphql_api/",),
    "uvicorn": ("graphql_api/",),
    # A user's own Celery app names its queues with kombu, too; `./dev up` starts a Redis.
    "kombu": ("celeryql/", "tasks/celery_app.py"),
    "redis": ("celeryql/", "graphql_api/local/"),
    "sklearn": ("ml/",),
    "joblib": ("ml/",),
}


@dataclass(frozen=True)
class Import:
    """One imported module, wherever the statement is.

    Attributes:
        place: `module`, `function` or `typing`, which is under `TYPE_CHECKING`.
    """

    file: str
    module: str
    place: str

    @property
    def package(self) -> str:
        return self.module.split(".")[0]

    def __str__(self) -> str:
        return f"{self.file} imports {self.module}"


def files() -> dict[str, ast.Module]:
    paths = [path for name in FLOORS for path in sorted((PROJECT_ROOT / name).rglob("*.py"))]
    return {str(path.relative_to(PROJECT_ROOT)): ast.parse(path.read_text()) for path in paths}


def module_of(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


FILES = files()
MODULES = {module_of(file): file for file in FILES}


def imports(file: str) -> Iterator[Import]:
    def visit(node: ast.AST, place: str) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(file, alias.name, place) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield Import(file, inner if inner in MODULES else str(node.module), place)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            place = "function"
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            place = "typing"
        for child in ast.iter_child_nodes(node):
            yield from visit(child, place)

    yield from visit(FILES[file], "module")


IMPORTS = [found for file in FILES for found in imports(file)]


def floor_of(module: str, package: str) -> int:
    """The height of a module's sub-package; files of the package itself are on no floor."""
    first, *rest = module.split(".")
    order = SUB_PACKAGES[package]
    return order.index(rest[0]) if first == package and rest and rest[0] in order else -1


def test_packages_import_only_what_is_below_them():
    above = [
        str(found)
        for found in IMPORTS
        if found.package in FLOORS
        and found.package not in FLOORS[found.file.split("/")[0]] | {found.file.split("/")[0]}
    ]

    assert above == []


@pytest.mark.parametrize("package", SUB_PACKAGES)
def test_sub_packages_import_only_what_is_below_them(package):
    above = [
        str(found)
        for found in IMPORTS
        if found.file.startswith(f"{package}/")
        and 0 <= floor_of(found.module, package) < floor_of(module_of(found.file), package)
    ]

    assert above == []


def test_no_import_cycle_between_files():
    graph = defaultdict(set)
    for found in IMPORTS:
        if found.module in MODULES and MODULES[found.module] != found.file:
            graph[found.file].add(MODULES[found.module])

    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("package", FLOORS)
def test_a_class_name_exists_once_in_a_package(package):
    places = defaultdict(list)
    for file, tree in FILES.items():
        if file.startswith(f"{package}/"):
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(file)

    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_only_in_its_place(library):
    elsewhere = [
        str(found)
        for found in IMPORTS
        if found.package == library and not found.file.startswith((*LIBRARIES[library], "bench/"))
    ]

    assert elsewhere == []


def test_ml_is_imported_only_inside_functions_of_task_modules():
    found = {
        (found.file, found.place)
        for found in IMPORTS
        if found.package == "ml" and not found.file.startswith(("ml/", "bench/"))
    }

    assert found == {("tasks/spam.py", "function"), ("tasks/spam.py", "typing")}


@pytest.mark.slow
def test_building_the_schema_loads_no_machine_learning():
    script = (
        "import sys; from graphql_api.schema import build_schema; build_schema();"
        "print(sorted({'sklearn', 'numpy', 'joblib', 'ml'} & set(sys.modules)))"
    )

    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("package", ["celeryql", "graphql_api"])
def test_neither_the_engine_nor_the_api_needs_the_tasks(package):
    modules = [module for module in MODULES if module.split(".")[0] == package]
    modules = [name for name in modules if not name.endswith(("__main__", "execution.tracing"))]
    script = (
        "import sys, importlib;"
        f"[importlib.import_module(name) for name in {modules!r}];"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('tasks', 'ml')))"
    )

    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "[]"
