"""Which tasks of a Celery app the API exposes, and on which queues they run."""

from __future__ import annotations

from collections.abc import Mapping

from celery import Celery

from celeryql.definition.signature import canonical_name
from celeryql.definition.task_definition import TaskDefinition
from celeryql.errors import BadTaskDefinition


def exposed_tasks(app: Celery) -> dict[str, TaskDefinition]:
    """Import the app's task modules and collect the definitions of their tasks.

    Returns:
        Definitions by name, in alphabetical order.

    Raises:
        BadTaskDefinition: a task cannot be exposed, or two tasks or types have the same name.
    """
    app.loader.import_default_modules()
    app.finalize()
    found: dict[str, TaskDefinition] = {}
    for name, task in sorted(app.tasks.items()):
        if not hasattr(task, "definition"):
            raise BadTaskDefinition(
                name, "it is not of the app's task class: base its class on `app.Task`"
            )
        if task.definition is not None:
            found[name] = task.definition
    _refuse_clashes(found)
    return {d.name: d for d in sorted(found.values(), key=lambda d: d.name)}


def queue_names(app: Celery) -> tuple[str, ...]:
    """Name the queues of an app's configuration, in its order."""
    return tuple(app.amqp.queues)


def _refuse_clashes(found: Mapping[str, TaskDefinition]) -> None:
    tasks_by_name: dict[str, str] = {}
    types_by_name: dict[str, type] = {}
    for full_name, definition in found.items():
        other = tasks_by_name.setdefault(canonical_name(definition.name), full_name)
        if other != full_name:
            raise BadTaskDefinition(full_name, f"{other} has the same name: rename one")
        for type_ in sorted(definition.types, key=_full_name):
            namesake = types_by_name.setdefault(type_.__name__, type_)
            if namesake is not type_:
                reason = f"its type {_full_name(type_)} has the name of {_full_name(namesake)}"
                raise BadTaskDefinition(full_name, f"{reason}: rename one")


def _full_name(type_: type) -> str:
    return f"{type_.__module__}.{type_.__qualname__}"
