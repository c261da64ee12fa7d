"""Soft prompts: joint tuning, where prompts start, the pack."""
