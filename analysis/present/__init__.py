"""How numbers are written and tables laid out."""
