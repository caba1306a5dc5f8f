"""What is printed: names in front, colours on terminals, and no reader left."""

from __future__ import annotations

import io
import signal

from graphql_api.local.console import Console


def test_names_line_up() -> None:
    output = io.StringIO()
    console = Console(output)

    console.line("api", "one")
    console.line("email_service", "two")
    console.say("three")

    assert output.getvalue() == "api           | one\nemail_service | two\nthree\n"


def test_each_name_keeps_its_colour() -> None:
    output = io.StringIO()
    console = Console(output, coloured=True)

    for name in ("api", "redis", "api"):
        console.line(name, "text")

    first, second, third = output.getvalue().splitlines()
    assert first == third == "\x1b[36mapi           |\x1b[0m text"
    assert second == "\x1b[33mredis         |\x1b[0m text"


def test_when_nobody_can_read_it_hangs_up_once() -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    hangups = []
    before = signal.signal(signal.SIGHUP, lambda number, _frame: hangups.append(number))
    console = Console(Closed())
    try:
        console.say("one")
        console.say("two")
    finally:
        signal.signal(signal.SIGHUP, before)

    assert hangups == [signal.SIGHUP]
