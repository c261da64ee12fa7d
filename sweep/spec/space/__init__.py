"""What a search may vary, as a spec writes it: domains, samplers, pruners, measures."""
