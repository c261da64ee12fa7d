"""Vocabularies: words in common, agreement of neighbours, relative geometry."""
