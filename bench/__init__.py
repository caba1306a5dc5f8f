"""Benchmarks that compare CeleryQL with peers, both measured in the same run."""
