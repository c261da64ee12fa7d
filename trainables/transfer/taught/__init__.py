"""Ways of transfer that read through the target: what they begin from, learn and search in."""
