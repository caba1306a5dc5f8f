"""The mark for sensitive arguments, whose values are not stored."""

from __future__ import annotations

import typing
from typing import Any

from pydantic import BaseModel


class _SensitiveMark:
    """Marks a parameter whose value is only in the message: `Annotated[str, Sensitive]`."""


Sensitive = _SensitiveMark()


def is_sensitive(annotation: Any) -> bool:
    """Return whether an annotation, or a model that it contains, has the mark."""
    if annotation is Sensitive:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        return any(Sensitive in f.metadata or is_sensitive(f.annotation) for f in fields)
    return any(is_sensitive(part) for part in typing.get_args(annotation))
