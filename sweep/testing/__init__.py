"""Stand-ins that ship with the package: sweeps without models, for tests and benchmarks."""
