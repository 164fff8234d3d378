"""Converted networks in the formats of others: NIR for spiking networks, ONNX for their quantised twins."""
