"""Suites: which tasks, networks, methods, T and seeds are measured."""
