"""From a cell to its record: what is due, converted, simulated and watched."""
