"""Find the Celery app that the API serves."""

from __future__ import annotations

from celery import Celery
from celery.app.utils import find_app

from celeryql.adopt.install import is_installed
from celeryql.errors import BadSettings


def load_celery_app(name: str) -> Celery:
    """Import a Celery app as `celery -A` does.

    Args:
        name: of a module, a package or an attribute, such as `proj.celery:app` or `proj`.

    Raises:
        BadSettings: there is no such app, or CeleryQL is not installed into it.
    """
    try:
        app = find_app(name)
    except (ImportError, AttributeError) as error:
        raise BadSettings(f"setting CELERY_APP: {name} names no Celery app: {error}") from error
    if not isinstance(app, Celery):
        raise BadSettings(f"setting CELERY_APP: {name} is not a Celery app")
    if not is_installed(app):
        raise BadSettings(
            f"setting CELERY_APP: {name} is a Celery app without CeleryQL: "
            "call `celeryql.install(app)` before its tasks are declared"
        )
    return app
