"""Scores foretold from what can be known before a run."""
