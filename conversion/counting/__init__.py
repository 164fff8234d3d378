"""Counts of connections, spikes, synaptic operations and floating-point operations."""
