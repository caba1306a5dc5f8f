"""The peers: the smallest programs that do the same job without CeleryQL."""
