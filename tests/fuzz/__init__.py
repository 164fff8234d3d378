"""Seeded fuzzing of everything that is read from files: `make fuzz`, or python -m tests.fuzz --seconds 300 --seed 0."""
