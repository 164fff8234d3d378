"""Networks for event cameras, and how encoded recordings become their input."""
