"""The science of promptsweep: backbones, tasks, prompts, methods and transfer.

Nothing in this package knows the sweep above it; only ``trainables.tune`` knows Ray.
"""
