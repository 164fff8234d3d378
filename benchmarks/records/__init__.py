"""What was measured, kept on disk: records, predictions and converted networks."""
