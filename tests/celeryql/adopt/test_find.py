"""The setting CELERY_APP: which names lead to an app, and what the error says of the others."""

from __future__ import annotations

import sys

import pytest

from celeryql.adopt.find import load_celery_app
from celeryql.errors import BadSettings
from tasks.celery_app import app

MODULES = {
    "installed": "from celery import Celery\nimport celeryql\n"
    "app = Celery('installed')\nceleryql.install(app)\n",
    "plain": "from celery import Celery\napp = Celery('plain')\nnumber = 1\n",
    "broken": "raise RuntimeError('no database')\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder on the path with modules of a user."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["tasks", "tasks.celery_app", "tasks.celery_app:app"])
def test_an_app_is_named_as_for_celery(name):
    assert load_celery_app(name) is app


def test_an_app_of_another_package_is_found(folder):
    assert load_celery_app("installed").main == "installed"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "No module named 'missing'"),
        ("plain:none", "none"),
        ("plain:number", "is not a Celery app"),
        ("plain", "call `celeryql.install(app)` before its tasks are declared"),
    ],
)
def test_the_error_says_why_there_is_no_app(folder, name, reason):
    with pytest.raises(BadSettings, match=f"setting CELERY_APP: {name}") as error:
        load_celery_app(name)

    assert reason in str(error.value)


def test_an_error_of_the_users_own_module_is_not_hidden(folder):
    with pytest.raises(RuntimeError, match="no database"):
        load_celery_app("broken")
