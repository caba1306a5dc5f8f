"""Chains, groups and chords: their canvas and their plan."""
