import pytest

from trainables.core.settings import METHOD_SETTINGS
from trainables.core.settings.hard import HardSettings


@pytest.fixture(autouse=True)
def second_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method ``words`` beside ``soft``, with settings of its own."""
    monkeypatch.setitem(METHOD_SETTINGS, "words", HardSettings)
