"""Ray Tune as a user would write it: a function, OptunaSearch, MLflowLoggerCallback.

``python -m benchmarks.peers.ray_tune --trials N FOLDER`` prints one JSON line. The function
computes nothing, as ours does not in the same contest: what is measured is what Ray, Optuna and
MLflow take.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any


def objective(config: dict[str, Any]) -> dict[str, float]:
    """A result as a fixed function of the settings."""
    weight, rate = float(config["weight"]), float(config["rate"])
    return {"score": 1.0 - (weight - 0.5) ** 2 - (rate - 0.05) ** 2, "loss": weight}


def run(trials: int, folder: Path, workers: int = 2) -> dict[str, float]:
    """So many trials on a local Ray, two at a time; seconds from the call of ``fit`` to its end."""
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search.optuna import OptunaSearch

    # Without "local", Ray would join whatever cluster this machine has noted last, even a dead one.
    ray.init(address="local", num_cpus=workers, include_dashboard=False, logging_level="ERROR")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    callback = MLflowLoggerCallback(tracking_uri=uri, experiment_name="peer")
    tuner = tune.Tuner(
        tune.with_resources(objective, {"cpu": 1}),
        param_space={
            "weight": tune.uniform(0.0, 1.0),
            "rate": tune.loguniform(1e-3, 1e-1),
            "task": tune.choice(["a", "b", "c"]),
            "pair": tune.choice(["A+B", "A+C", "B+C"]),
        },
        tune_config=tune.TuneConfig(
            metric="score", mode="max", search_alg=OptunaSearch(), num_samples=trials
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder / "ray"), name="peer", callbacks=[callback], verbose=0
        ),
    )
    began = time.perf_counter()
    found = tuner.fit()
    seconds = time.perf_counter() - began
    ray.shutdown()
    if found.num_errors or len(found) != trials:
        raise RuntimeError(f"{found.num_errors} of {len(found)} trials failed")
    return {"seconds": seconds, "trials": trials, "logged": _logged(uri)}


def _logged(uri: str) -> int:
    """Runs that MLflow has, with a score."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("peer")
    runs = client.search_runs([experiment.experiment_id], max_results=50_000)
    return sum("score" in one.data.metrics for one in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, required=True)
    options = parser.parse_args()
    print(json.dumps(run(options.trials, options.folder)))


if __name__ == "__main__":
    main()
