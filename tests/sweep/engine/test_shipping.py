"""Files that workers lack, through Ray's object store."""

from pathlib import Path
from typing import Any

import pytest

from sweep.engine import shipping as shipping_module
from sweep.engine.shipping import VARIABLE, Shipper, heavy_models, shipping
from tests.sweep.samples import plan_of
from tests.trainables.packs.test_shipping import plan_with_files
from trainables.errors import InputError
from trainables.packs.shipping import Item


def item_of(plan: Any) -> dict[str, str]:
    model = plan.resolved.models["mine"]
    return {"kind": "model", "name": "mine", "location": model.location, "digest": model.digest}


def test_when_files_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipping(None) is None
    assert shipping("127.0.0.1:1") == "auto"
    for asked, expected in (("always", "always"), ("never", None), ("", "auto")):
        monkeypatch.setenv(VARIABLE, asked)
        assert shipping("127.0.0.1:1") == expected
    monkeypatch.setenv(VARIABLE, "perhaps")
    with pytest.raises(InputError, match=r"PROMPTSWEEP_SHIP: found 'perhaps'; allowed: auto"):
        shipping(None)


def test_heavy_folders_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_with_files(tmp_path)
    assert heavy_models(plan, "auto") == []
    monkeypatch.setattr(shipping_module, "WARNED", 10)
    assert [line.partition(":")[0] for line in heavy_models(plan, "auto")] == [
        "model 'mine'",
        "model 'pocket-roberta'",
    ]
    assert heavy_models(plan, None) == heavy_models(plan_of(), "auto") == []
    monkeypatch.setattr(shipping_module, "LIMIT", 20)
    assert "allowed: put it at the same path on every node" in heavy_models(plan, "auto")[0]
    refused = Shipper().hand_out(item_of(plan))
    assert refused is not None
    assert "allowed: put it at the same path on every node" in refused["error"]


def test_what_is_not_as_planned_is_not_handed_out(tmp_path: Path) -> None:
    item = item_of(plan_with_files(tmp_path))
    assert Shipper().hand_out({**item, "location": str(tmp_path / "nowhere")}) is None
    changed = Shipper().hand_out({**item, "digest": "0" * 16})
    assert changed is not None
    assert "has changed since it was planned" in changed["error"]
    assert Item(**item).kind == "model"
