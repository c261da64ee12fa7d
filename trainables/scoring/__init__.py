"""Losses, gradients, evaluation and calibration of prompts on a backbone."""
