"""Logging: one format for the lines of CeleryQL, Celery, uvicorn and the tasks."""

from __future__ import annotations

import logging
import sys
from logging.handlers import WatchedFileHandler
from typing import Any

import structlog
from celery import Celery, signals
from structlog.stdlib import ProcessorFormatter

from celeryql.settings import LogFormat, Settings, load_settings

# The only fields taken from a record's `extra`. Celery's own lines have more, such as a task's
# arguments, which may be sensitive.
_FIELDS = ("task_id", "definition", "owner", "queue", "tasks")
_ORDER = ("timestamp", "level", "event", "logger", "request_id", *_FIELDS)


def configure(settings: Settings, level: int | None = None, logfile: str | None = None) -> None:
    """Configure the logging of this process.

    Args:
        settings: they decide, except for a level that they do not set.
        level: a level of the standard library.
        logfile: write to this file instead of standard error.
    """
    handler = WatchedFileHandler(logfile) if logfile else logging.StreamHandler(sys.stderr)
    is_terminal = not logfile and sys.stderr.isatty()
    is_plain = settings.log_format is LogFormat.PLAIN
    if settings.log_format is LogFormat.AUTO:
        is_plain = is_terminal
    handler.setFormatter(_plain_formatter(colors=is_terminal) if is_plain else _json_formatter())
    is_set = level is None or "log_level" in settings.model_fields_set
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper() if is_set else level or logging.INFO)


def _json_formatter() -> logging.Formatter:
    """Write each record as one JSON object on one line."""
    return _formatter(
        # These come last, so a field that a task binds cannot replace them.
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _sort_fields,
        structlog.processors.JSONRenderer(default=repr),
    )


def _plain_formatter(*, colors: bool) -> logging.Formatter:
    """Write each record for a person who reads a terminal."""
    return _formatter(
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(
            colors=colors, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        ),
    )


def _formatter(*processors: Any) -> logging.Formatter:
    fields: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(allow=_FIELDS),
    ]
    *others, renderer = processors
    return ProcessorFormatter(
        foreign_pre_chain=fields,
        processors=[*others, ProcessorFormatter.remove_processors_meta, renderer],
    )


def _sort_fields(_logger: Any, _name: str, line: Any) -> Any:
    """Put the fields that most lines have first."""
    return {name: line[name] for name in _ORDER if name in line} | line


def configure_workers(app: Celery) -> None:
    """Make Celery's workers log in this format, including what tasks print."""
    signals.setup_logging.connect(_configure_worker, weak=False)

    def redirect(**_: Any) -> None:
        if app.conf.worker_redirect_stdouts:
            app.log.redirect_stdouts(app.conf.worker_redirect_stdouts_level)

    for started in (signals.worker_ready, signals.worker_process_init):
        started.connect(redirect, weak=False)


def _configure_worker(loglevel: int, logfile: str | None, **_: Any) -> None:
    configure(load_settings(), loglevel, logfile)
    # At DEBUG it logs the arguments of each task that runs.
    logging.getLogger("celery.pool").setLevel(logging.INFO)
    _hide_quoted_messages()


def _hide_quoted_messages() -> None:
    """Leave message bodies, and headers with arguments, out of Celery's own error lines."""
    from celery.worker.consumer import consumer  # noqa: PLC0415  # only workers load it

    hidden_positions = {  # of the arguments of each log message
        consumer.UNKNOWN_FORMAT: (0,),
        consumer.UNKNOWN_TASK_ERROR: (1, 2),
        consumer.INVALID_TASK_ERROR: (1,),
        consumer.MESSAGE_DECODE_ERROR: (3, 4),
    }

    def hide(record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and (hidden := hidden_positions.get(record.msg)):
            record.args = tuple(
                "(left out)" if i in hidden else arg for i, arg in enumerate(record.args)
            )
        return True

    consumer.logger.addFilter(hide)
