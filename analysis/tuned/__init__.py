"""Soft prompts where they stand (Lester et al. 2021): ensembles, length and start, open answers, words."""
