"""A run against a committed baseline: regression, pass or inconclusive."""
