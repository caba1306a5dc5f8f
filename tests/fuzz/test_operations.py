"""Test every query and mutation with valid and slightly invalid arguments and selections."""

from __future__ import annotations

import pytest
from graphql import StringValueNode, build_schema
from hypothesis import given
from hypothesis import strategies as st
from hypothesis_graphql import Mode, mutations, queries

from celeryql.settings import PROJECT_ROOT
from tests.fuzz.profile import IS_LONG, bounded
from tests.fuzz.target import ENDED, WAITING, Target

pytestmark = [pytest.mark.slow, *([pytest.mark.timeout(0)] if IS_LONG else [])]

SCHEMA = build_schema((PROJECT_ROOT / "schema.graphql").read_text())
ROOTS = (queries, SCHEMA.query_type), (mutations, SCHEMA.mutation_type)
CASES = [
    pytest.param(strategy, name, mode, id=f"{name}-{mode.name.lower()}")
    for strategy, root in ROOTS
    for name, field in root.fields.items()
    for mode in Mode
    if mode is Mode.POSITIVE or field.args  # a field without arguments has no invalid ones
]


def nodes(*likely, otherwise):
    return st.one_of(st.sampled_from(likely), otherwise).map(lambda v: StringValueNode(value=v))


SCALARS = {
    "ID": nodes(WAITING, ENDED, otherwise=st.text(max_size=40)),
    "DateTime": nodes("2030-01-01T00:00:00Z", otherwise=st.datetimes().map(lambda t: f"{t}Z")),
    "EventCursor": nodes("0-0", "1700000000000-1", otherwise=st.text(max_size=20)),
}


@pytest.mark.parametrize(("strategy", "name", "mode"), CASES)
def test_every_operation_is_answered_as_graphql(target: Target, strategy, name, mode):
    @bounded(10)
    @given(strategy(SCHEMA, fields=[name], custom_scalars=SCALARS, mode=mode))
    def answers(document):
        answer = target.post(document)
        assert mode is Mode.POSITIVE or "errors" in answer, document

    answers()
