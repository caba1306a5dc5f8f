"""Log lines: the fields of a JSON line, their order, and what cannot replace them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.contextvars import bound_contextvars

from celeryql.observability.logs import configure
from celeryql.settings import Settings

logger = logging.getLogger("tests.logs")


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Log to a file as JSON, and read its lines."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    path = tmp_path / "json.log"
    configure(Settings(log_format="json", log_level="info"), logfile=str(path))
    yield lambda: [json.loads(line) for line in path.read_text().splitlines()]
    root.handlers[0].close()
    root.handlers = handlers
    root.setLevel(level)


def test_a_json_line_has_its_fields_in_order(lines):
    with bound_contextvars(shelf=3, owner="ann", request_id="r-1"):
        logger.info("accepted %s", "add", extra={"task_id": "t-1", "data": "secret"})

    (line,) = lines()
    timestamp = line.pop("timestamp")
    assert timestamp.endswith("Z")
    assert list(line.items()) == [
        ("level", "info"),
        ("event", "accepted add"),
        ("logger", "tests.logs"),
        ("request_id", "r-1"),
        ("task_id", "t-1"),
        ("owner", "ann"),
        ("shelf", 3),
    ]


def test_a_field_that_a_task_binds_cannot_replace_the_message(lines):
    with bound_contextvars(timestamp="never", level="x", event="x", logger="x", exc_info=True):
        logger.warning("careful")

    (line,) = lines()
    assert line.pop("timestamp") != "never"
    assert line == {"level": "warning", "event": "careful", "logger": "tests.logs"}


def test_an_exception_is_one_field_of_its_line(lines):
    try:
        {}["spade"]
    except KeyError:
        logger.exception("cannot dig")

    (line,) = lines()
    assert (line["level"], line["event"]) == ("error", "cannot dig")
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("KeyError: 'spade'")


def test_a_value_that_json_cannot_represent_is_shown_as_its_repr(lines):
    with bound_contextvars(path=Path("x"), text="a\udc80"):
        logger.info("odd")

    (line,) = lines()
    assert (line["path"], line["text"]) == ("PosixPath('x')", "a\udc80")
