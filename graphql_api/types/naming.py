"""How Python names are written in the schema."""

from __future__ import annotations

from functools import cache

from strawberry.schema.name_converter import NameConverter
from strawberry.utils.str_converters import to_camel_case

_camel_case = cache(to_camel_case)  # called only with names of the schema, so it stays small


class CachedNameConverter(NameConverter):
    """Caches converted names: Strawberry converts them again for each input that it reads."""

    def apply_naming_config(self, name: str) -> str:
        """Write the name of a field or an argument in camel case."""
        return _camel_case(name)
