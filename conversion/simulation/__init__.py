"""A spiking network and its simulation: neurons, the two schedules, frames in time, early exit, files."""
