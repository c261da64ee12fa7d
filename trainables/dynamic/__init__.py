"""Prompts whose position, length and vectors are decided, by task or by text (Yang et al. 2023)."""
