"""Dynamic prompts: what was decided, what that gains over static ones, what carries over."""
