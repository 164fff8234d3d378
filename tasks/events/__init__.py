"""Event cameras: recordings, their encodings and cache, the datasets, simulated recordings."""
