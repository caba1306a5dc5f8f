"""The app is found by Celery's own command, as users type it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from celeryql.settings import PROJECT_ROOT


@pytest.mark.slow
def test_the_celery_command_finds_the_app_and_the_packages_beside_it():
    command = Path(sys.executable).with_name("celery")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    done = subprocess.run(
        [command, "-A", "tasks", "report"],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "celeryql.broker.transport:Transport" in done.stdout
