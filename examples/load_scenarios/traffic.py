"""Who asks what: tenants, modes and questions, seeded. Standard library only.

The figures are from published measurements of real services; each names its source. Tenants are as uneven as there:
a few ask most.
"""

import random
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate

TENANTS = (
    "acme", "northwind", "globex", "initech", "umbra", "hooli", "stark", "wayne", "tyrell", "cyberdyne",
    "wonka", "oscorp", "soylent", "massive", "vandelay", "gringotts", "monarch", "aperture", "zorg", "kwik",
)  # fmt: skip
_TENANT_EXPONENT = 1.0
"""Below the 1.76 of the 20 largest clients in ServeGen's language/m-small: with that the small would not be seen."""

HOUR_FACTORS = (
    0.839, 0.714, 0.733, 0.676, 0.714, 0.66, 0.684, 0.855, 1.015, 1.054, 1.125, 1.093,
    1.06, 1.073, 1.06, 1.047, 1.091, 1.079, 1.007, 1.229, 1.456, 1.402, 1.27, 1.063,
)  # fmt: skip
"""Load of each hour of the day, UTC, to the day's mean: ServeGen, language/m-small, hour_of_day_factor."""

MODES = {"1": 0.5, "2": 0.2, "3": 0.26, "4": 0.04}
"""Share of each mode; our own choice: plain questions are the many, documents the few."""

_PRODUCTS = (
    "Heron 2 tent", "Bittern tent", "Ember stove", "Kiln stove", "Lumen lamp", "Beam headlamp", "Drift drybag",
    "Moss mat", "Ridge pack", "Squall jacket", "Vesper bag",
)  # fmt: skip
_ABOUT = (
    "How heavy is the {}?", "How do I clean the {}?", "What does the {} cost?", "How long is the warranty of the {}?",
    "Can I rent the {}?", "Is the {} waterproof?", "How do I repair the {}?", "What is the {} made of?",
    "Can I return the {} after use?", "Which spare parts are there for the {}?", "Where can I see the {}?",
    "Is there an older version of the {}?",
)  # fmt: skip
_TASKS = (
    "Where is my order F-4711 and when will it arrive?", "Where is my order F-1234?",
    "How much is 3 times 49.90 plus 4.95 shipping?", "On which date does my 60 day return period from 1 March end?",
    "How many ounces are 1350 grams?", "How many miles are 12 kilometres?", "How much are 2 stoves at 64.50 each?",
    "Which tent is lighter, Heron or Bittern, and by how much?",
)  # fmt: skip
_REPORTS = (
    "Summarise the battery study.", "Summarise the materials report.", "Summarise the repair figures.",
    "Summarise the season review.", "Summarise the warehouse incident.",
)  # fmt: skip
_QUESTION_EXPONENT = 0.9
"""How popular questions are, so that a response cache has something to do; our own choice."""


@dataclass(frozen=True)
class Question:
    """One request to the service."""

    text: str
    tenant: str
    mode: str
    priority: str
    stream: bool


class Traffic:
    """Questions without end, the same for the same seed. One thread (or greenlet) at a time."""

    def __init__(self, seed: int, modes: dict[str, float] | None = None) -> None:
        self._random = random.Random(seed)
        self._modes = modes or MODES
        # The same order of popularity for everybody: which questions are popular is no matter of the seed.
        self._plain = [about.format(product) for product in _PRODUCTS for about in _ABOUT]
        random.Random(20).shuffle(self._plain)
        self._plain_weights = _zipf(len(self._plain), _QUESTION_EXPONENT)
        self._tenant_weights = _zipf(len(TENANTS), _TENANT_EXPONENT)

    def question(self) -> Question:
        """Return the next question."""
        draw = self._random
        mode = draw.choices([*self._modes], [*self._modes.values()])[0]
        if mode == "3":
            text = draw.choice(_TASKS)
        elif mode == "4":
            text = draw.choice(_REPORTS)
        else:
            text = self._varied(self._plain[bisect(self._plain_weights, draw.random())])
        priority = draw.choices(("critical", "important", "normal", "low"), (0.05, 0.2, 0.65, 0.1))[0]
        tenant = TENANTS[bisect(self._tenant_weights, draw.random())]
        return Question(text, tenant, mode, priority, stream=mode != "4" and draw.random() < 0.6)

    def wants_to_say(self) -> bool:
        """Whether this answer gets feedback: 2 % do."""
        return self._random.random() < 0.02

    def pause(self, mean: float) -> float:
        """Return how many seconds a person thinks, exponentially distributed."""
        return self._random.expovariate(1 / mean)

    def _varied(self, text: str) -> str:
        """Write it as people do: a normaliser of questions has to see through that."""
        way = self._random.random()
        return text.lower() if way < 0.2 else text.rstrip("?") if way < 0.35 else f" {text} " if way < 0.4 else text


def _zipf(count: int, exponent: float) -> list[float]:
    """Return cumulated shares of ranks 1 to ``count``; the last is left out, so that ``bisect`` stays within them."""
    weights = [rank**-exponent for rank in range(1, count + 1)]
    total = sum(weights)
    return [share / total for share in accumulate(weights)][:-1]
