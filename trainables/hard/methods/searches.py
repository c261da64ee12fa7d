"""Methods of hard prompts by name."""

from trainables.hard.methods import autoprompt, fluentprompt, mixed, pez, random_words
from trainables.hard.problem import HardSearch

SEARCHES: dict[str, HardSearch] = {
    "autoprompt": autoprompt.search,
    "fluentprompt": fluentprompt.search,
    "mixed": mixed.search,
    "pez": pez.search,
    "random": random_words.search,
}
"""Per method of :data:`trainables.core.settings.METHOD_SETTINGS` with family ``hard``, its
search."""
