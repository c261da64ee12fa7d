"""Packs: what runs in a worker, and how it travels."""
