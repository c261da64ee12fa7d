"""Hard prompts: token sequences found on a source model and carried to others as text."""
