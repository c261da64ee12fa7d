"""Soft prompts on their model (Lester et al. 2021): length, start, open answers, ensembles."""
