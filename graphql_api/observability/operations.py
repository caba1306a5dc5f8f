"""What an operation is called where operations are counted or traced: never by its client's words.

Clients choose names of operations as they like; a label of metrics has few values.
"""

from __future__ import annotations

from typing import NamedTuple

from graphql import FieldNode, get_operation_ast
from strawberry.types import ExecutionContext

OTHER = "other"  # it could not be parsed, or begins with no field of the schema
SEVERAL = "several"


class OperationName(NamedTuple):
    """A type of operation, and the one field of the schema that it begins with."""

    type: str
    field: str


def name_of(asked: ExecutionContext) -> OperationName:
    """Name the operation that is to be executed."""
    document = asked.graphql_document
    operation = document and get_operation_ast(document, asked.operation_name)
    if not operation:
        return OperationName(OTHER, OTHER)
    fields = {
        node.name.value if isinstance(node, FieldNode) else OTHER
        for node in operation.selection_set.selections
    }
    field = fields.pop() if len(fields) == 1 else SEVERAL
    root = asked.schema._schema.get_root_type(operation.operation)  # noqa: SLF001  # there is no public way
    is_known = field == SEVERAL or (root is not None and field in root.fields)
    return OperationName(operation.operation.value, field if is_known else OTHER)
