"""Results on disk: records, predictions and converted networks."""
