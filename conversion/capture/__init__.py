"""ANN in, graph out: torch.export, folding, the role of every operation, the channels and the layout of a graph."""
