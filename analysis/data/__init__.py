"""Results of a sweep as tidy tables: ledger, snapshot, MLflow, predictions."""
