"""MLflow as a view of the ledger: what runs there are, who writes them, how they are looked at."""
