"""What to run and where: spec, plan, Ray Tune, ledger, MLflow and the command line.

Importing this package is cheap; torch, transformers, ray and mlflow wait until a sweep runs.
"""
