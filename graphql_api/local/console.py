"""What `./dev up` prints: the lines of several programs on one stream, told apart."""

from __future__ import annotations

import signal
from typing import TextIO

NAME_WIDTH = 13  # of "email_service"
COLOURS = (36, 33, 32, 35, 34, 96, 93, 92)  # foreground colours of ANSI terminals


class Console:
    """Lines of several programs on one stream, each behind the name of its program."""

    def __init__(self, stream: TextIO, *, coloured: bool = False) -> None:
        self._stream: TextIO | None = stream
        self._coloured = coloured
        self._names: list[str] = []

    def line(self, name: str, text: str) -> None:
        """Write one line of a program's."""
        if name not in self._names:
            self._names.append(name)
        head = f"{name:<{NAME_WIDTH}} |"
        if self._coloured:
            head = f"\x1b[{COLOURS[self._names.index(name) % len(COLOURS)]}m{head}\x1b[0m"
        self.say(f"{head} {text}")

    def say(self, text: str) -> None:
        """Write a line of the supervisor's own; when nobody can read it, hang up on ourselves."""
        if self._stream is None:
            return
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except OSError:
            self._stream = None
            signal.raise_signal(signal.SIGHUP)
