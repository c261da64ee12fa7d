"""The report: its page, findings, comparison of sweeps and files."""
