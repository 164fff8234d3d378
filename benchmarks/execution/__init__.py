"""From a cell to its record: planning, conversion, simulation, progress."""
