"""What to run and where: spec, plan, Ray Tune, ledger, MLflow and the command line.

From Python, ``sweep.session.plan(spec)`` and ``sweep.session.run(spec, out=FOLDER)`` do what the
commands of that name do. Importing this package is cheap; torch, transformers, ray and mlflow wait
until a sweep runs.
"""
