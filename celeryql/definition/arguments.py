"""What the arguments of all tasks have in common: their base, and the mark of what is not kept."""

from __future__ import annotations

import typing
from functools import cache
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from celeryql.definition.json_form import NOT_JSON, WRITTEN, unreadable
from celeryql.definition.numbers import is_open

STRING_MAX = 1_000_000  # characters; a parameter may name less
NOT_UNICODE = PydanticCustomError("not_unicode", "text that is not Unicode: a lone surrogate")


class Arguments(BaseModel):
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
            if _is_open(type(self)):
                problem = unreadable(self.model_dump(mode="json", **WRITTEN))
            else:
                self.model_dump_json(**WRITTEN)  # which is faster
        except NOT_JSON as error:
            raise NOT_UNICODE from error
        if problem:
            reason = PydanticCustomError(
                "unreadable", "Value is {reason}", {"reason": problem.reason}
            )
            line = InitErrorDetails(type=reason, loc=problem.path, input=None)
            raise ValidationError.from_exception_data(type(self).__name__, [line])
        return self


_is_open = cache(is_open)


class _SensitiveMark:
    """Marks a parameter whose value lives in the message only: `Annotated[str, Sensitive]`."""


Sensitive = _SensitiveMark()


def is_marked_sensitive(annotation: Any) -> bool:
    """Tell whether a mark stands anywhere in an annotation, or in a model that it names."""
    if annotation is Sensitive:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        return any(Sensitive in f.metadata or is_marked_sensitive(f.annotation) for f in fields)
    return any(is_marked_sensitive(part) for part in typing.get_args(annotation))
