"""`python -m graphql_api.local`, which is what `./dev up` runs: everything on one machine."""

from __future__ import annotations

import argparse
import sys

HIGHEST_PORT = 65_535


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    described = argparse.ArgumentParser(
        prog="./dev up",
        description="Run the API, its workers, a private Redis and a mail catcher on this machine.",
        epilog="Ctrl-C lets running tasks end and stops everything; a second one stops at once. "
        "REDIS_URL and SMTP_HOST, where set, stand in for the private Redis and mail catcher.",
    )
    described.add_argument("--host", help="address of the API (default: 127.0.0.1)")
    described.add_argument(
        "--port",
        type=port_number,
        help="port of the API (default: 8000); the next free one if it is taken",
    )
    described.add_argument("--strict-port", action="store_true", help="fail if the port is taken")
    described.add_argument(
        "--restart",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="start a program again when it dies, after a pause that doubles, and stop everything "
        "once it has died 5 times in a row (default); --no-restart: stop everything at once",
    )
    described.add_argument(
        "--insecure",
        action="store_true",
        help="bind an address that others can reach without asking them for a token",
    )
    return described


def port_number(text: str) -> int:
    """Read a port from a command line."""
    if not text.isdecimal() or not 0 < int(text) <= HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to {HIGHEST_PORT}")
    return int(text)


def main() -> int:
    """Run until stopped, and return the exit code."""
    options = parser().parse_args()
    try:
        # Here, so that --help answers where nothing is installed yet.
        from graphql_api.local.up import main as run  # noqa: PLC0415

        return run(**vars(options))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
