"""Whether a worker can use the GPU that it was given."""

import pytest
import torch

from trainables.compute.devices import NoGpuError, check_device
from trainables.core.cells import Pack, TaskRef
from trainables.packs.pack import run_pack
from trainables.tune import run_once

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def _pack() -> Pack:
    return Pack("tune", "soft", TaskRef("x", "", ""), {}, (), ())


def test_a_processor_is_always_there() -> None:
    check_device("cpu")


@NO_GPU
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_gpu_that_torch_does_not_see(device: str) -> None:
    with pytest.raises(
        NoGpuError, match=r"resources.gpu: .* does not see \(.*\); allowed: .*"
    ) as it:
        run_pack(_pack(), {}, device)
    assert torch.__version__ in str(it.value)
    assert len(str(it.value).splitlines()) == 1


@NO_GPU
def test_the_driver_hears_that_no_other_pack_can_do_better() -> None:
    payload = {"pack": _pack().to_json(), "prompts": {}}
    found = run_once(payload, "trainables.packs.pack:run_pack", "cuda", 1)
    assert found["ends"]
    assert found["error"].startswith("resources.gpu: ")
    assert not run_once(payload, "trainables.packs.pack:missing", "cuda", 1)["ends"]
