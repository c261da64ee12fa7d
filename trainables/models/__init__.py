"""Names of models and what their folders show without torch."""
