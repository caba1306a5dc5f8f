"""The command line of `./dev up`."""

from __future__ import annotations

import pytest

from graphql_api.local.__main__ import parser


def test_without_options_the_settings_decide() -> None:
    options = parser().parse_args([])

    assert (options.host, options.port) == (None, None)
    assert (options.strict_port, options.restart, options.insecure) == (False, True, False)


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_an_invalid_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--port", port])

    assert "argument --port: a port is a number from 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "restarts"), [("--restart", True), ("--no-restart", False)])
def test_restarts_can_be_turned_off(option: str, restarts: bool) -> None:
    assert parser().parse_args([option]).restart is restarts
