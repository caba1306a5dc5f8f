"""`./dev redis`: a prompt for the Redis of the settings; it prints replies as redis-cli does."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress

from redis import Redis
from redis.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from celeryql.errors import exit_on_bad_configuration
from celeryql.settings import load_settings
from graphql_api.local.redis_server import ping_failure

# redis-cli prints a status without quotes, but redis-py returns it like any string. QUEUED, the
# status of a command in MULTI, is not listed: it is also a state in most records.
STATUSES = (b"OK", b"PONG")
PLAIN_COMMANDS = ("TYPE", "INFO", "MONITOR")
ENDLESS_COMMANDS = ("MONITOR", "SUBSCRIBE", "PSUBSCRIBE")
ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 256))}
ESCAPES |= {7: r"\a", 8: r"\b", 9: r"\t", 10: r"\n", 13: r"\r", 34: r"\"", 92: r"\\"}


def render(reply: object, *, is_plain: bool = False) -> list[str]:
    """Format a reply as the lines that redis-cli prints."""
    match reply:
        case list() if reply:
            return [line for item in enumerate(reply, 1) for line in _entry(*item, len(reply))]
        case list():
            line = "(empty array)"
        case None:
            line = "(nil)"
        case int():
            line = f"(integer) {reply}"
        case bytes() if is_plain or reply in STATUSES:
            line = reply.decode(errors="replace").rstrip()
        case bytes():
            line = f'"{reply.decode("latin-1").translate(ESCAPES)}"'
        case _:
            line = " ".join(
                filter(None, ("(error)", getattr(reply, "status_code", ""), str(reply)))
            )
    return [line]


def _entry(number: int, item: object, count: int) -> list[str]:
    mark = f"{number:>{len(str(count))}}) "
    first, *others = render(item)
    return [mark + first, *(" " * len(mark) + line for line in others)]


def run(connection: AbstractConnection, words: list[str]) -> None:
    """Send one command and print its reply, or all of its replies if they do not end."""
    command = words[0].upper()
    connection.send_command(*words)
    while True:
        try:
            reply = connection.read_response()
        except ResponseError as error:
            reply = error
        sys.stdout.write("\n".join(render(reply, is_plain=command in PLAIN_COMMANDS)) + "\n")
        sys.stdout.flush()
        if command not in ENDLESS_COMMANDS:
            return


def _converse(connection: AbstractConnection) -> None:
    with suppress(ImportError):  # adds a history to input(); not every Python has it
        import readline  # noqa: F401, PLC0415
    with suppress(EOFError):
        while (line := input("redis> " if sys.stdin.isatty() else "")) != "quit":
            try:
                if words := shlex.split(line):
                    run(connection, words)
            except ValueError:
                sys.stdout.write("Invalid argument(s)\n")


def main(redis_url: str, words: list[str]) -> int:
    """Run the command in `words`; if it is empty, run commands from the standard input."""
    if reason := ping_failure(redis_url):
        sys.stderr.write(f"No Redis to talk to ({reason}): start ./dev up or set REDIS_URL.\n")
        return 1
    pool = Redis.from_url(redis_url, protocol=2, socket_timeout=None).connection_pool
    connection = pool.get_connection()
    try:
        if words:
            run(connection, words)
        else:
            _converse(connection)
    except KeyboardInterrupt:
        return 130
    except RedisError as error:
        sys.stderr.write(f"Redis closed the connection: {error}\n")
        return 1
    finally:
        pool.disconnect()
    return 0


if __name__ == "__main__":
    with exit_on_bad_configuration():
        url = load_settings().redis_url
    sys.exit(main(url, sys.argv[1:]))
