"""Networks for event cameras, and the scaling of encoded recordings to their inputs."""
