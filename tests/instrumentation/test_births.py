"""Tests of how long a new series is shown as 0."""

from genai_metrics.births import Births


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_shown_as_zero_for_its_time() -> None:
    """From the first time that it is asked for, not from the start, each series has its own time."""
    clock = Clock()
    births = Births(20.0, clock)
    assert not births.may_show("a")
    clock.now += 10.0
    assert not births.may_show("b")
    clock.now += 9.9
    assert not births.may_show("a")
    clock.now += 0.1
    assert births.may_show("a")
    assert not births.may_show("b")
    clock.now += 10.0
    assert births.may_show("a")
    assert births.may_show("b")


def test_zero_switches_it_off() -> None:
    """With 0 seconds a series is shown with its value at once."""
    assert Births(0.0, Clock()).may_show("a")


def test_forgotten_series_are_new() -> None:
    """A series that was forgotten is born again; forgetting what is not known is nothing."""
    clock = Clock()
    births = Births(20.0, clock)
    births.may_show("a")
    clock.now += 20.0
    births.forget("a")
    births.forget("b")
    assert not births.may_show("a")
