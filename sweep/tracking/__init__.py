"""MLflow and other trackers as views of the ledger: what runs there are, who writes them."""
