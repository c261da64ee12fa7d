"""What others run for the same work: real libraries, or literal readings of what was published."""
