"""Figures of a suite's records, for print: the paper's, and what else records hold (docs/figures.md)."""
