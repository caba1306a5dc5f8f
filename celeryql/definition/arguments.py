"""The base of all argument models."""

from __future__ import annotations

from functools import cache
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from celeryql.definition.json_values import DUMP_OPTIONS, SERIALIZATION_ERRORS, find_unreadable
from celeryql.definition.number_limits import may_hold_unsafe_number

STRING_MAX = 1_000_000  # characters; a parameter may set a lower limit
LONE_SURROGATE_ERROR = PydanticCustomError(
    "not_unicode", "text that is not Unicode: a lone surrogate"
)


class TaskArguments(BaseModel):
    """Base of the models that are created from the parameters of tasks."""

    # The limit on strings also makes pydantic refuse lone surrogates.
    model_config = ConfigDict(
        frozen=True, extra="forbid", str_max_length=STRING_MAX, protected_namespaces=()
    )

    @model_validator(mode="after")
    def _check_json(self) -> Self:
        # The limit above does not apply to the fields of nested models.
        problem = None
        try:
            if _may_hold_unsafe_number(type(self)):
                problem = find_unreadable(self.model_dump(mode="json", **DUMP_OPTIONS))
            else:
                self.model_dump_json(**DUMP_OPTIONS)  # faster
        except SERIALIZATION_ERRORS as error:
            raise LONE_SURROGATE_ERROR from error
        if problem:
            reason = PydanticCustomError(
                "unreadable", "Value is {reason}", {"reason": problem.reason}
            )
            line = InitErrorDetails(type=reason, loc=problem.path, input=None)
            raise ValidationError.from_exception_data(type(self).__name__, [line])
        return self


_may_hold_unsafe_number = cache(may_hold_unsafe_number)
