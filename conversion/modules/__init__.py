"""A converted network as an `nn.Module`, for code that trains, wraps, hooks and saves modules."""
