"""Scripts that measure the benchmark itself: time, memory, encoding, overhead, published models."""
