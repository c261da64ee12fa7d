"""Task transfer in the report."""
