"""What was measured, kept on disk: records, answers and converted networks."""
