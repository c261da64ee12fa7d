"""Finished cells: ledger, store shared by sweeps, results folder and its lock."""
