"""`./dev`: what it refuses, what it hands on, and when it has nothing to install."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from celeryql.settings import PROJECT_ROOT

DEV = PROJECT_ROOT / "dev"
# Runs ./dev as a Python of another version would.
AS_OLD_PYTHON = """
import runpy, sys
sys.version_info = (3, 8, 0, "final", 0)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
WITHOUT_ENSUREPIP = """
import runpy, sys
sys.modules["ensurepip"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of `dev` beside lock files of its own, in a folder with a space."""
    folder = tmp_path / "my project"
    folder.mkdir()
    (folder / "dev").write_bytes(DEV.read_bytes())
    (folder / "dev").chmod(0o755)
    (folder / "requirements.lock").write_text("# nothing\n")
    (folder / "requirements-dev.lock").write_text("# nothing for development\n")
    return folder


def install_fake_venv(project: Path, *locks: str) -> None:
    """Make a .venv that says it is up to date, and whose Python shows how it is run."""
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    (project / ".venv" / "lib").mkdir()
    python.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    digests = [hashlib.sha256((project / lock).read_bytes()).hexdigest() for lock in locks]
    (project / ".venv" / "installed-locks").write_text("\n".join(digests))


def run(
    project: Path, *arguments: str, path: str = "/usr/bin:/bin", code: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *(["-c", code] if code else []), str(project / "dev"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": path},
        cwd="/",
    )


def test_its_syntax_is_that_of_an_old_python() -> None:
    ast.parse(DEV.read_text(), feature_version=(3, 6))


def test_it_can_be_executed() -> None:
    assert DEV.stat().st_mode & 0o111 == 0o111


def test_it_needs_the_standard_library_only() -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(DEV.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
        )
    }

    assert imported <= sys.stdlib_module_names


def test_an_old_python_says_what_is_needed(project: Path) -> None:
    done = run(project, "up", path="/nonexistent", code=AS_OLD_PYTHON)

    assert done.returncode == 1
    assert done.stderr == ("dev: CeleryQL needs Python 3.11 or newer, but PATH has only 3.8.\n")


def test_an_old_python_hands_over_to_a_new_one(project: Path, tmp_path: Path) -> None:
    newer = tmp_path / "python3.12"
    newer.write_text('#!/bin/sh\n[ "$1" = -c ] || echo "$@"\n')
    newer.chmod(0o755)
    broken = tmp_path / "python3.13"  # as pyenv leaves them for versions not selected
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)

    done = run(project, "up", "--port", "1", path=str(tmp_path), code=AS_OLD_PYTHON)

    assert done.stdout == f"{project / 'dev'} up --port 1\n"


def test_without_a_command_it_lists_them(project: Path) -> None:
    done = run(project)

    assert done.returncode == 2
    assert "./dev up | test | check | bench | redis" in done.stderr


def test_help_is_no_error(project: Path) -> None:
    assert run(project, "--help").returncode == 0


@pytest.mark.parametrize(
    ("command", "module"),
    [("up", "graphql_api.local"), ("redis", "graphql_api.local.redis_prompt"), ("test", "pytest")],
)
def test_an_installed_command_runs_at_once_with_its_arguments(
    project: Path, command: str, module: str
) -> None:
    install_fake_venv(project, "requirements.lock", "requirements-dev.lock")

    done = run(project, command, "-k", "two words")

    assert done.stderr == ""
    assert done.stdout.splitlines() == [str(project), "-m", module, "-k", "two words"]


@pytest.mark.parametrize(
    ("arguments", "marks", "given"),
    [
        ([], "", ["--ignore=tests/faults", "--ignore=tests/fuzz"]),
        (["--fast"], "not slow and ", []),
        (["--all"], "", []),
        (["--fast", "-k", "two words"], "not slow and ", ["-k", "two words"]),
    ],
)
def test_a_tier_runs_its_tests_side_by_side_and_then_those_that_run_alone(
    project: Path, arguments: list[str], marks: str, given: list[str]
) -> None:
    install_fake_venv(project, "requirements.lock", "requirements-dev.lock")

    done = run(project, "test", *arguments)

    side_by_side = ["-n", str(min(os.cpu_count() or 1, 7) + 1), "--dist", "loadfile"]
    pytest_ = [str(project), "-m", "pytest", "-m"]
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        *[*pytest_, f"{marks}not alone", *side_by_side, *given],
        *[*pytest_, f"{marks}alone", *given],
    ]
    assert done.stderr == "Tests that run side by side:\nTests that run alone:\n"


@pytest.mark.parametrize(
    ("side_by_side", "alone", "code"),
    [(0, 0, 0), (0, 5, 0), (5, 0, 0), (5, 5, 5), (1, 0, 1), (0, 1, 1), (1, 5, 1), (4, 0, 4)],
)
def test_a_tier_fails_if_any_test_does(
    project: Path, side_by_side: int, alone: int, code: int
) -> None:
    install_fake_venv(project, "requirements-dev.lock")
    python = project / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\n[ "$4" = alone ] && exit {alone}\nexit {side_by_side}\n')

    assert run(project, "test", "--all").returncode == code


def test_the_options_of_up_are_told_before_anything_is_installed() -> None:
    done = run(PROJECT_ROOT, "up", "--help")

    assert done.returncode == 0
    assert "--strict-port" in done.stdout


def test_check_runs_all_checks(project: Path) -> None:
    install_fake_venv(project, "requirements-dev.lock")

    done = run(project, "check")

    assert [line for line in done.stdout.splitlines() if line in ("ruff", "mypy")] == [
        *("ruff", "ruff", "mypy")
    ]
    assert "--check" in done.stdout
    assert done.stderr == "All checks passed.\n"


def test_check_names_what_failed(project: Path) -> None:
    install_fake_venv(project, "requirements-dev.lock")
    (project / ".venv" / "bin" / "python").write_text('#!/bin/sh\n[ "$2" != mypy ]\n')

    done = run(project, "check")

    assert done.returncode == 1
    assert done.stderr == "Failed: mypy\n"


def test_uv_is_used_where_there_is_one(project: Path, tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text(
        '#!/bin/sh\necho "$@" >> uv.log\n[ "$1" = pip ] && exit\n'
        'mkdir -p "$5/bin" && printf "#!/bin/sh\\n" > "$5/bin/python" && chmod +x "$5/bin/python"\n'
    )
    uv.chmod(0o755)

    done = run(project, "up", path=f"{tmp_path}:/usr/bin:/bin")

    assert done.returncode == 0
    python = project / ".venv" / "bin" / "python"
    assert (project / "uv.log").read_text().splitlines() == [
        f"venv --seed --python {sys.executable} {project / '.venv'}",
        f"pip install --python {python} --require-hashes -r requirements.lock",
    ]


def test_without_a_venv_module_it_says_what_to_install(project: Path) -> None:
    done = run(project, "up", code=WITHOUT_ENSUREPIP)

    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_asked_for_with_extras_is_locked_with_them():
    """Else pip 23 finds the newest release of it, which is not the locked one, and refuses."""
    locked = (PROJECT_ROOT / "requirements-dev.lock").read_text()
    asked = [
        Requirement(text) for found in distributions() for text in found.requires or []
        if "extra ==" not in text
    ]  # fmt: skip
    ranges = {
        f"{need.name}[{','.join(sorted(need.extras))}]"
        for need in asked
        if need.extras and not str(need.specifier).startswith("==")
    }

    assert [name for name in ranges if f"\n{name}==" not in locked] == []
