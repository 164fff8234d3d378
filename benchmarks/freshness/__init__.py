"""Which code a record depends on, and whether it has changed since."""
