"""What transfer depends on: effects of models, tasks and settings."""
