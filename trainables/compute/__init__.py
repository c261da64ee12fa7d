"""Passes, memory, recorded work, optimiser, dropout masks: the device's side."""
