"""Cells and packs of a spec, and the order in which packs run."""
