"""Logs, traces, and the request context that messages carry from the API to the workers."""
