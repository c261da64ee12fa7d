"""Statistics that know of shared tunings: intervals, tests, power, ranks, importance."""
