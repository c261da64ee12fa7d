"""Contracts as test classes: a new task inherits them and has its tests."""
