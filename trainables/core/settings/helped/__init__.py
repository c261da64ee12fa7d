"""Parameters of hard methods in which a causal language model, the helper, finds words."""
