"""Architectures whose layers are known: quicker than the general way, and nothing else."""
