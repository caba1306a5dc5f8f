"""The directions of the house, held by reading the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from celeryql.settings import PROJECT_ROOT

PACKAGES = ("celeryql", "graphql_api", "tasks", "ml")
FILES = [path for name in PACKAGES for path in sorted((PROJECT_ROOT / name).rglob("*.py"))]


def imports(path: Path) -> list[tuple[str, int]]:
    """List what a file imports, with the depth of the statement: 0 is the module's own level."""
    found: list[tuple[str, int]] = []

    def visit(node: ast.AST, depth: int) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, depth) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.append((node.module or "", depth))
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            visit(child, depth + is_function)

    visit(ast.parse(path.read_text()), 0)
    return found


def offenders(allowed: str | tuple[str, ...], *modules: str) -> list[str]:
    return [
        f"{path.relative_to(PROJECT_ROOT)} imports {module}"
        for path in FILES
        if not str(path.relative_to(PROJECT_ROOT)).startswith(allowed)
        for module, _ in imports(path)
        if module.split(".")[0] in modules
    ]


def test_only_the_api_imports_strawberry_and_fastapi():
    assert offenders("graphql_api/", "strawberry", "fastapi", "graphql", "uvicorn") == []


def test_only_the_engine_imports_redis_and_kombu_directly():
    assert (
        offenders(("celeryql/", "graphql_api/local/", "tasks/celery_app.py"), "redis", "kombu")
        == []
    )


def test_nothing_imports_against_the_stream():
    assert offenders("graphql_api/", "graphql_api") == []
    assert [o for o in offenders("tasks/", "tasks") if o.startswith("ml/")] == []
    assert [o for o in offenders("tasks/", "celery") if o.startswith("ml/")] == []


def test_the_engine_names_no_task_module():
    names = {f"tasks.{p.stem}" for p in (PROJECT_ROOT / "tasks").glob("*.py")} - {"tasks.__init__"}
    engine = [path for path in FILES if "celeryql/" in str(path)]

    # The app and its mail settings are separated from the engine next.
    assert [(p.name, m) for p in engine for m, _ in imports(p) if m in names] == [
        ("engine.py", "tasks.celery_app"),
        ("settings.py", "tasks.mail_settings"),
    ]


def test_ml_is_imported_only_inside_functions_of_task_modules():
    found = {
        (str(path.relative_to(PROJECT_ROOT)), depth)
        for path in FILES
        if path.relative_to(PROJECT_ROOT).parts[0] != "ml"
        for module, depth in imports(path)
        if module.split(".")[0] == "ml"
    }

    assert found == {("tasks/spam.py", 1)}


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
