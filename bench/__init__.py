"""Benchmarks: each figure stands beside that of a peer, measured in the same run."""
