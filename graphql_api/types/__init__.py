"""The types, inputs and scalars of the schema that are written by hand."""
