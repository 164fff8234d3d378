"""Training: the loop, its exact resumption, its progress, and augmentations."""
