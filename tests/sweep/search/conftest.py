import pytest

from trainables.core.registries import METHODS
from trainables.core.settings.hard import HardSettings


@pytest.fixture(autouse=True)
def second_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method ``words`` beside ``soft``, with settings of its own."""
    monkeypatch.setitem(METHODS, "words", HardSettings)
