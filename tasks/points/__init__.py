"""Point clouds: sampling of meshes, classes and parts, the datasets, drawn solids."""
