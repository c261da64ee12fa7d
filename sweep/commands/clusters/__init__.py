"""Cluster files of every kind, read into one form for the rules of ``sweep validate-cluster``."""
