"""The command line of `./dev up`, which runs `python -m graphql_api.local`."""

from __future__ import annotations

import argparse
import sys

from graphql_api.ports import port_number


def parser() -> argparse.ArgumentParser:
    """Create the parser of the command line."""
    command_line = argparse.ArgumentParser(
        prog="./dev up",
        description="Run the API, its workers, a private Redis and a mail catcher on this machine.",
        epilog="Ctrl-C lets running tasks end and stops everything; a second one stops at once. "
        "Set REDIS_URL or SMTP_HOST to use your own Redis or mail server.",
    )
    command_line.add_argument("--host", help="address of the API (default: 127.0.0.1)")
    command_line.add_argument(
        "--port",
        type=port_number,
        help="port of the API (default: 8000); the next free one if it is taken",
    )
    command_line.add_argument(
        "--strict-port", action="store_true", help="fail if the port is taken"
    )
    command_line.add_argument(
        "--restart",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="restart a program that dies, after a pause that doubles, and stop everything once it "
        "has died 5 times in a row (default); --no-restart: stop everything at the first death",
    )
    command_line.add_argument(
        "--insecure",
        action="store_true",
        help="bind an address that other machines can reach, even without authentication",
    )
    return command_line


def main() -> int:
    """Run until a signal, and return the exit code."""
    options = parser().parse_args()
    try:
        # Imported here, so that --help works before the packages are installed.
        from graphql_api.local.up import main as run  # noqa: PLC0415

        return run(**vars(options))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
