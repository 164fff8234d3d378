"""Counting what a spiking network does: connections of a neuron, spikes, synaptic and floating-point operations."""
