"""``sweep init``: a data file looked at, and a task and a spec to start from."""
