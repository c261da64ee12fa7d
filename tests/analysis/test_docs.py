"""The examples of docs/analysis.md run as they stand, one after the other."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "analysis.md"


@pytest.mark.slow
def test_every_block_runs(
    full_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {"DIR": full_folder, "OUT": tmp_path}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(blocks) >= 8
    shown = capsys.readouterr().out
    assert "Ours − Baseline is" in shown and "\\toprule" in shown
    assert {"heatmap.svg", "slopes.svg"} <= {path.name for path in tmp_path.iterdir()}
