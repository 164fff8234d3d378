"""The conversion report: how much error each layer adds, and of which kind."""
