"""The collector of cycles keeps off what stays, and comes back."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from trainables.compute.process import lasting, no_collection


class Ring:
    """Refers to itself: only the collector finds it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("within", [no_collection, lasting])
def test_as_before_whatever_happens_within(within, enabled: bool) -> None:
    if not enabled:
        gc.disable()
    with within():
        assert not gc.isenabled()
    assert gc.isenabled() == enabled
    with pytest.raises(KeyError), within():
        raise KeyError
    assert gc.isenabled() == enabled


@pytest.mark.slow
def test_what_an_import_leaves_is_not_looked_at_again() -> None:
    with lasting():
        kept = Ring()
    after = Ring()
    kept_there, after_there = weakref.ref(kept), weakref.ref(after)
    del kept, after
    gc.collect()
    assert kept_there() is not None
    assert after_there() is None
    gc.unfreeze()
    gc.collect()
    assert kept_there() is None
