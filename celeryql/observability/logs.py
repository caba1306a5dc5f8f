"""Logs: how lines look, and what they tell; the same for ours, Celery's and uvicorn's."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from typing import Any

import structlog
from celery import Celery, signals
from structlog.contextvars import get_contextvars
from structlog.stdlib import ProcessorFormatter

from celeryql.settings import LogFormat, Settings, load_settings

# What a logger may be given as `extra`. Celery gives its own lines arguments, too, which may be
# sensitive.
_FIELDS = ("task_id", "definition", "owner", "queue", "tasks")
_ORDER = ("request_id", *_FIELDS)


def configure(settings: Settings, level: int | None = None, logfile: str | None = None) -> None:
    """Have this process log as the settings say.

    Args:
        settings: what they leave open, the others say.
        level: of the standard library.
        logfile: instead of standard error.
    """
    handler = WatchedFileHandler(logfile) if logfile else logging.StreamHandler(sys.stderr)
    is_terminal = not logfile and sys.stderr.isatty()
    is_plain = settings.log_format is LogFormat.PLAIN
    if settings.log_format is LogFormat.AUTO:
        is_plain = is_terminal
    handler.setFormatter(_plain(coloured=is_terminal) if is_plain else _Json())
    is_set = level is None or "log_level" in settings.model_fields_set
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper() if is_set else level or logging.INFO)


class _Json(logging.Formatter):
    """Writes one object a line, at once: a chain of processors took four times as long."""

    def format(self, record: logging.LogRecord) -> str:
        """Tell what every line tells, then whose it is, then the rest."""
        given = {name: vars(record)[name] for name in _FIELDS if name in vars(record)}
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat()[:-6] + "Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        told = get_contextvars() | given | line  # which nothing that a task binds can replace
        line |= {name: told[name] for name in _ORDER if name in told} | told
        if record.exc_info and record.exc_info[0]:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack_info"] = record.stack_info
        return json.dumps(line, default=repr)


def _plain(*, coloured: bool) -> logging.Formatter:
    console = structlog.dev.ConsoleRenderer(
        colors=coloured, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )
    bound: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(allow=_FIELDS),
    ]
    time = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
    shown: list[Any] = [time, ProcessorFormatter.remove_processors_meta, console]
    return ProcessorFormatter(processors=shown, foreign_pre_chain=bound)


def configure_workers(app: Celery) -> None:
    """Have Celery's workers log in the same way, and what tasks print with it."""
    signals.setup_logging.connect(_configure_worker, weak=False)

    def redirect(**_: Any) -> None:
        if app.conf.worker_redirect_stdouts:
            app.log.redirect_stdouts(app.conf.worker_redirect_stdouts_level)

    for started in (signals.worker_ready, signals.worker_process_init):
        started.connect(redirect, weak=False)


def _configure_worker(loglevel: int, logfile: str | None, **_: Any) -> None:
    from celery.worker.consumer import consumer  # noqa: PLC0415  # what no API process has

    configure(load_settings(), loglevel, logfile)
    # It would tell the arguments of each task that it runs.
    logging.getLogger("celery.pool").setLevel(logging.INFO)
    hidden = {  # places of bodies, and of headers that quote arguments
        consumer.UNKNOWN_FORMAT: (0,),
        consumer.UNKNOWN_TASK_ERROR: (1, 2),
        consumer.INVALID_TASK_ERROR: (1,),
        consumer.MESSAGE_DECODE_ERROR: (3, 4),
    }

    def hide(record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and (places := hidden.get(record.msg)):
            told = enumerate(record.args)
            record.args = tuple("(left out)" if i in places else arg for i, arg in told)
        return True

    consumer.logger.addFilter(hide)
