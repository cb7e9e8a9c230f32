"""The scenarios: how many people, for how long, how patient. No traffic, no Locust."""

from dataclasses import dataclass, field, replace

from load_scenarios.traffic import MODES


@dataclass(frozen=True)
class Scenario:
    """One kind of load.

    ``users`` people, of whom ``spawn_rate`` arrive per second, who think ``think_seconds`` on average between
    questions.
    ``step_users``: so many more each ``step_seconds`` for as long as the service holds, 0 for a constant number.
    ``seconds``: how long it lasts by default; None is without end.
    """

    name: str
    about: str
    users: int
    spawn_rate: float
    think_seconds: float
    seconds: float | None
    step_users: int = 0
    step_seconds: float = 0.0
    modes: dict[str, float] = field(default_factory=lambda: dict(MODES))
    follows_the_day: bool = False

    def with_users(self, users: int) -> "Scenario":
        """Return the scenario with another number of people."""
        return replace(self, users=users)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("baseline", "100 people, a usual afternoon", 100, 10, 60, 600),
        Scenario("peak", "500 people, the busiest hour of the year", 500, 25, 20, 600),
        Scenario(
            "stress", "ever more people, until the service breaks", 100, 20, 10, 900, step_users=100, step_seconds=30
        ),
        Scenario("batch", "20 clients that summarise documents without a pause", 20, 5, 0.5, 300, modes={"4": 1.0}),
        Scenario("daily", "a small team's day, for ever", 24, 2, 20, None, follows_the_day=True),
    )
}
"""Every scenario by name."""

BROKEN_ERRORS = 0.05
"""``stress`` ends when more than this share of requests fails,"""

BROKEN_P95_SECONDS = 30.0
"""or when the 95th percentile is above this: people are gone by then."""
