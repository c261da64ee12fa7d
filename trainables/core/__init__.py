"""What everything rests on: cells, settings, hashes, files, errors. No torch."""
