"""Quantities that a conversion derives from training inputs: statistics, thresholds, sensitivities, allocations."""
