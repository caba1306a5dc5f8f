"""Logs, traces, and the trail that leads from a request to its tasks."""
