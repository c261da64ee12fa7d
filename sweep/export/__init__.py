"""Prompts handed out: folders, the Hub, MLflow's registry."""
