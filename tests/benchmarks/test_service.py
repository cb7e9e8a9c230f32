"""What instrumentation costs the demo service is measured on the real one; the figure is for people to judge."""

from pathlib import Path

import pytest
from benchmarks import service


def test_measures_both_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both were asked and used the processor; the one recorded, the other did not; the interval stands in the note."""
    monkeypatch.setattr(service, "PAIRS", 2)
    monkeypatch.setattr(service, "REQUESTS", 5)
    said: list[str] = []
    (section,) = service.measure(tmp_path, rounds=2, say=said.append)
    assert said[-1] == "service: round 2 of 2"
    assert [len(figure.values) for figure in section.figures] == [2, 2]
    assert min(min(figure.values) for figure in section.figures) > 0.1
    assert section.figure(service.WITH).note.count("95 %") == 2
    assert section.figure(service.WITHOUT).note == "4 pairs of 5 requests, 4 at a time"
    assert list((tmp_path / "with" / "metrics").glob("*"))
    assert not (tmp_path / "without" / "metrics").exists()


def test_interval() -> None:
    """The mean of 0 and 2, 50 times each, is 1 plus or minus 1.96 standard errors of 0.1005."""
    assert service.interval([0.0, 2.0] * 50) == pytest.approx((0.803, 1.197), abs=1e-3)
    assert service.interval([3.0]) == (3.0, 3.0)
