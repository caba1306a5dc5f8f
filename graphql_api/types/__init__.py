"""The types, inputs, enums and scalars of the schema that do not depend on a task."""
