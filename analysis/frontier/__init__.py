"""What a target gains by each way and what that costs: one frontier, and what to do on a target."""
