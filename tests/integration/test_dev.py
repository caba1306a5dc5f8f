"""`./dev` sets up .venv, here from a wheel beside it instead of the package index."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from celeryql.settings import PROJECT_ROOT

pytestmark = pytest.mark.slow

METADATA = "Metadata-Version: 2.1\nName: pytest\nVersion: {version}\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def add_wheel(project: Path, version: str) -> None:
    """Add a wheel to the project and its locks: a `pytest` that prints its version."""
    name = f"pytest-{version}-py3-none-any.whl"
    info = f"pytest-{version}.dist-info"
    with zipfile.ZipFile(project / name, "w") as wheel:
        wheel.writestr("pytest.py", f"import sys\nprint('version', '{version}', sys.argv[1:])\n")
        wheel.writestr(f"{info}/METADATA", METADATA.format(version=version))
        wheel.writestr(f"{info}/WHEEL", WHEEL)
        wheel.writestr(f"{info}/RECORD", f"pytest.py,,\n{info}/RECORD,,\n")
    digest = hashlib.sha256((project / name).read_bytes()).hexdigest()
    for lock in ("requirements.lock", "requirements-dev.lock"):
        (project / lock).write_text(f"pytest=={version} --hash=sha256:{digest}\n")


@pytest.fixture(scope="module")
def empty_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment to copy, because creating one takes seconds."""
    folder = tmp_path_factory.mktemp("venv") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


@pytest.fixture
def project(tmp_path: Path, empty_venv: Path) -> Path:
    """A project with a .venv in which nothing is installed."""
    folder = tmp_path / "my project"
    shutil.copytree(empty_venv, folder / ".venv", symlinks=True)
    shutil.copy(PROJECT_ROOT / "dev", folder)
    add_wheel(folder, "1.0")
    return folder


def start(project: Path, **environment: str) -> subprocess.Popen[str]:
    here = {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": project.as_uri()}
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not has_uv(p))
    return subprocess.Popen(
        [sys.executable, str(project / "dev"), "test", "--flag"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": path, **here, **environment},
    )


def has_uv(folder: str) -> bool:
    return (Path(folder) / "uv").exists()


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def test_only_the_first_use_installs_packages(project: Path) -> None:
    first = finish(start(project))
    second = finish(start(project))

    assert first[:2] == (0, "version 1.0 ['--flag']\n")
    assert "Installing the packages of requirements-dev.lock" in first[2]
    assert second == (0, "version 1.0 ['--flag']\n", "")


def test_a_changed_lock_is_installed(project: Path) -> None:
    finish(start(project))
    add_wheel(project, "2.0")

    code, output, _ = finish(start(project))

    assert (code, output) == (0, "version 2.0 ['--flag']\n")


def test_a_venv_of_another_python_is_created_again(project: Path) -> None:
    finish(start(project))
    (packages,) = (project / ".venv" / "lib").iterdir()
    packages.rename(packages.with_name("python3.10"))  # its link now leads to a newer Python

    code, output, _ = finish(start(project))

    assert (code, output) == (0, "version 1.0 ['--flag']\n")


def test_two_concurrent_setups_take_turns(project: Path) -> None:
    both = [start(project), start(project)]
    done = [finish(process) for process in both]

    assert [output for _, output, _ in done] == ["version 1.0 ['--flag']\n"] * 2
    assert sum("Installing the packages" in errors for _, _, errors in done) == 1
    assert sum("Another ./dev is setting up" in errors for _, _, errors in done) == 1


def test_an_incomplete_venv_is_created_again(project: Path) -> None:
    shutil.rmtree(project / ".venv")
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to("/nonexistent/python3.11")

    code, output, _ = finish(start(project))

    assert (code, output) == (0, "version 1.0 ['--flag']\n")


def test_a_killed_setup_is_completed_by_the_next(project: Path) -> None:
    killed = start(project)
    assert killed.stderr
    while "Installing" not in killed.stderr.readline():
        assert killed.poll() is None
    killed.kill()
    killed.communicate(timeout=60)

    code, output, _ = finish(start(project))

    assert (code, output) == (0, "version 1.0 ['--flag']\n")


def test_an_unreachable_package_index_is_one_sentence(project: Path) -> None:
    code, output, errors = finish(start(project, PIP_FIND_LINKS=""))

    assert (code, output) == (1, "")
    last = errors.splitlines()[-1]
    assert last.startswith("dev: The packages could not be installed: check that the package")
    assert "No matching distribution found for pytest==1.0" in last
    assert last.endswith(f"(see {project}/.data/setup.log).")
