"""What the arguments of all tasks have in common: their base, and the mark of what is not kept."""

from __future__ import annotations

import typing
from functools import cache
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from celeryql.definition.json_values import DUMP_OPTIONS, SERIALIZATION_ERRORS, find_unreadable
from celeryql.definition.number_limits import may_hold_unsafe_number

STRING_MAX = 1_000_000  # characters; a parameter may name less
LONE_SURROGATE_ERROR = PydanticCustomError(
    "not_unicode", "text that is not Unicode: a lone surrogate"
)


class TaskArguments(BaseModel):
    """Base of the model that is made from each task's parameters."""

    # The bound holds where a parameter names none; it also keeps lone surrogates out.
    model_config = ConfigDict(
        frozen=True, extra="forbid", str_max_length=STRING_MAX, protected_namespaces=()
    )

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        # What lies in a model within is not held by the bound above.
        problem = None
        try:
            if _may_hold_unsafe_number(type(self)):
                problem = find_unreadable(self.model_dump(mode="json", **DUMP_OPTIONS))
            else:
                self.model_dump_json(**DUMP_OPTIONS)  # which is faster
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


class _SensitiveMark:
    """Marks a parameter whose value lives in the message only: `Annotated[str, Sensitive]`."""


Sensitive = _SensitiveMark()


def is_sensitive(annotation: Any) -> bool:
    """Tell whether a mark stands anywhere in an annotation, or in a model that it names."""
    if annotation is Sensitive:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        return any(Sensitive in f.metadata or is_sensitive(f.annotation) for f in fields)
    return any(is_sensitive(part) for part in typing.get_args(annotation))
