"""Switches oneDNN off in every Python process whose PYTHONPATH names this folder: torch reads no variable for it."""

import torch

torch.backends.mkldnn.set_flags(_enabled=False)
