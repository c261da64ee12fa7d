"""Every search for hard prompts by the name of its method."""

from trainables.hard import fluentprompt, pez
from trainables.hard.problem import HardSearch

SEARCHES: dict[str, HardSearch] = {"pez": pez.search, "fluentprompt": fluentprompt.search}
"""The same names as in :data:`trainables.settings.METHOD_SETTINGS`."""
