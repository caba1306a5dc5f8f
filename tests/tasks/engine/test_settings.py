"""Settings that cannot be used: one sentence says which, and tells nothing of the value."""

from __future__ import annotations

import os

import pytest

from tasks.engine.settings import PROJECT_ROOT
from tests.processes import run_to_end

BAD = {
    "PORT": "abc",
    "LOG_LEVEL": "verbose",
    "AUTH_JWKS_URL": "ftp://ann:hunter2@example.com",
    "AUTH_JWT_SECRET": "hunter2",
    "ALLOWED_HOSTS": "hunter2.example.com",
    "CORS_ORIGINS": '["https://hunter2.example.com/app"]',
    "ENQUEUE_RATE": "inf",
}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["graphql_api.server", "graphql_api"])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_setting_is_named_in_one_sentence(module, name):
    ended = run_to_end(["-m", module], PROJECT_ROOT, **{name: BAD[name]})

    told = ended.stderr.strip().splitlines()
    assert len(told) == 1, ended.stderr
    assert name in told[0].upper()
    assert "hunter2" not in ended.stdout + ended.stderr
    assert ended.returncode in (1, os.EX_CONFIG)
