"""Faults of the service itself, and of what watches it: a table of fault and series, a matrix of fault and alert.

One half of the faults; the other one can be recorded at the same time.
"""

from pathlib import Path

import pytest
from fault_matrix import (
    Record,
    assert_raises_its_alerts_only,
    assert_raises_what_last_week_was_not,
    assert_shows_and_recovers,
)
from fault_table import EFFECTS, HALVES
from tape import Tape

from rag_service.faults import CATALOGUE

pytestmark = pytest.mark.timeout(900)  # the recording alone takes longer than other tests may

FAULTS = HALVES["service"]


@pytest.mark.parametrize("fault", FAULTS)
def test_shows_and_recovers(tape: Tape, fault: str, record_property: Record) -> None:
    """The series that the fault is to change does so by about as much as asked, and recovers."""
    assert_shows_and_recovers(tape, fault, record_property)


@pytest.mark.parametrize("fault", FAULTS)
def test_raises_its_alerts_only(tape: Tape, fault: str, tmp_path: Path, record_property: Record) -> None:
    """Its alerts fire in time and resolve; of all others only those that the catalogue says follow."""
    assert_raises_its_alerts_only(tape, fault, tmp_path, record_property)


def test_raises_what_last_week_was_not(tape: Tape, tmp_path: Path, record_property: Record) -> None:
    """Alerts that compare with the week before fire where there is one."""
    assert_raises_what_last_week_was_not(tape, tmp_path, record_property)


def test_no_fault_is_left_out() -> None:
    """The two halves are the catalogue."""
    assert {effect.fault for effect in EFFECTS} == set(CATALOGUE)
    assert sorted(fault for half in HALVES.values() for fault in half) == sorted(CATALOGUE)
