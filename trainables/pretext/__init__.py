"""Pretext tasks: labelled problems made of ordered texts without labels (Gu et al. 2022, PPT)."""
