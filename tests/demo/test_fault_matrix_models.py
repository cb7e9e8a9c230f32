"""Faults of models, and of what is asked of them: a table of fault and series, a matrix of fault and alert.

One half of the faults; the other one can be recorded at the same time.
"""

from pathlib import Path

import pytest
from fault_matrix import Record, assert_quiet_raises_nothing, assert_raises_its_alerts_only, assert_shows_and_recovers
from fault_table import HALVES
from tape import Tape

pytestmark = pytest.mark.timeout(900)  # the recording alone takes longer than other tests may

FAULTS = HALVES["models"]


@pytest.mark.parametrize("fault", FAULTS)
def test_shows_and_recovers(tape: Tape, fault: str, record_property: Record) -> None:
    """The series that the fault is to change does so by about as much as asked, and recovers."""
    assert_shows_and_recovers(tape, fault, record_property)


@pytest.mark.parametrize("fault", FAULTS)
def test_raises_its_alerts_only(tape: Tape, fault: str, tmp_path: Path, record_property: Record) -> None:
    """Its alerts fire in time and resolve; of all others only those that the catalogue says follow."""
    assert_raises_its_alerts_only(tape, fault, tmp_path, record_property)


def test_quiet_raises_nothing(tape: Tape, tmp_path: Path, record_property: Record) -> None:
    """Without a fault no alert fires."""
    assert_quiet_raises_nothing(tape, tmp_path, record_property)
