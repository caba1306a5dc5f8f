"""Prometheus metrics of the API."""
