"""Tests of the list of collectors and of what switches them."""

from genai_exporter.collectors.available import AVAILABLE, make_frame
from genai_exporter.config import COLLECTORS, Config


def names(config: Config) -> list[str]:
    """Run the frame once and say which collectors it has."""
    return [one.name for one in make_frame(config).start({False})()]


def test_the_switches_are_those_of_the_collectors() -> None:
    """Each collector can be switched, and nothing else."""
    assert [name for name, _ in AVAILABLE] == list(COLLECTORS)


def test_each_collector_has_the_name_it_is_switched_by() -> None:
    """``--no-collector.gpu`` ends the series with ``collector="gpu"``."""
    assert [make(Config()).name for _, make in AVAILABLE] == list(COLLECTORS)


def test_one_that_is_switched_off_does_not_run() -> None:
    """All run by default."""
    assert names(Config()) == list(COLLECTORS)
    for name in COLLECTORS:
        assert names(Config().switched({name: False})) == [other for other in COLLECTORS if other != name]
