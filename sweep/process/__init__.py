"""The driver's process: signals, streams, scratch folder, and what outlives nothing."""
