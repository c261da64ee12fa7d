"""The stranger's test: what CONTRIBUTING.md prints is written down as it stands, and works."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import transformers
from transformers import AutoTokenizer

from trainables.pocket.zoo import pocket_path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", re.DOTALL)


def printed() -> dict[str, str]:
    """The files of CONTRIBUTING.md by their names."""
    return dict(BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))


def a_tiny_model(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(pocket_path("pocket-bert"))
    config = transformers.DistilBertConfig(
        vocab_size=len(tokenizer), dim=16, hidden_dim=32, n_layers=2, n_heads=2, pad_token_id=0
    )
    transformers.DistilBertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def sweep(folder: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "PROMPTSWEEP_STORE": "none",
        "RAY_AUTH_MODE": "disabled",
    }
    done = subprocess.run(
        [sys.executable, "-m", "sweep.cli", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files, after plan, run and export."""
    folder = tmp_path_factory.mktemp("stranger")
    for name, content in printed().items():
        (folder / name).write_text(content, encoding="utf-8")
    rows = [
        {"text": f"a {word} day number {number}", "label": label}
        for number in range(16)
        for label, word in enumerate(("rainy", "sunny"))
    ]
    (folder / "weather.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    a_tiny_model(folder / "tiny-distilbert")
    assert "cells" in sweep(folder, "plan", "spec.yaml")
    sweep(folder, "run", "spec.yaml", "--out", "out")
    sweep(folder, "report", "out", "--csv")
    sweep(folder, "export", "out", "--top", "9")
    return folder


pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]


def test_everything_is_printed() -> None:
    assert set(printed()) == {
        "nearest_mean.py",
        "lowrank.py",
        "one_word.py",
        "distilbert.py",
        "weather.yaml",
        "spec.yaml",
    }


def test_each_has_results_of_its_own(finished: Path) -> None:
    frame = pd.read_parquet(finished / "out" / "results.parquet")
    carried = frame[frame["kind"] == "transfer"]
    assert set(carried["method"]) == {"soft", "lowrank", "one_word"}
    assert set(carried["target"]) == {"pocket-roberta", "tiny-distilbert"}
    assert set(carried["task"]) == {"toy/weather"}
    assert set(carried[carried["method"] != "one_word"]["solver"]) == {"nearest_mean"}
    assert carried["score"].notna().all()


def test_no_mean_is_over_two_methods(finished: Path) -> None:
    """In the report, tables of soft prompts have a block for each of the two soft methods."""
    report = (finished / "out" / "report.html").read_text(encoding="utf-8")
    assert "lowrank" in report and "one_word" in report
    for table in (finished / "out" / "tables").glob("*.csv"):
        columns = pd.read_csv(table).columns
        assert "method" in columns or "cell" in columns or "lowrank" not in table.read_text(), table


def test_prompts_are_exported(finished: Path) -> None:
    listed = json.loads((finished / "out" / "exports" / "promptsweep.json").read_text())
    assert {"soft", "lowrank", "one_word"} <= set(json.dumps(listed).replace('"', " ").split())
