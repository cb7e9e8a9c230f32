"""Tests of how durations are read."""

import pytest

from genai_exporter.durations import positive_seconds, prometheus_seconds, seconds


class TestSeconds:
    """Options, and files in which Go's notation is usual."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("90s", 90),
            ("5m", 300),
            ("1h30m", 5400),
            ("1.5h", 5400),
            ("250ms", 0.25),
            ("3us", 3e-6),
            ("0", 0),
            ("0s", 0),
        ],
    )
    def test_reads_durations(self, text: str, expected: float) -> None:
        """One unit or several, whole numbers or fractions."""
        assert seconds(text) == pytest.approx(expected)

    @pytest.mark.parametrize("text", ["", "5", "soon", "-5m", "1d", "5 m", "5m ", "m", "1..5s", "1h30", "5M", "٣s"])
    def test_says_how_to_write_one(self, text: str) -> None:
        """A number without a unit is refused: seconds to some, minutes to others."""
        with pytest.raises(ValueError, match=r"^'.*' is not a duration; give one such as 15s, 5m or 1h30m$"):
            seconds(text)


class TestPositiveSeconds:
    """How long something shall last."""

    def test_reads_durations(self) -> None:
        """As they are read elsewhere."""
        assert positive_seconds("1h30m") == 5400

    @pytest.mark.parametrize("text", ["0", "0s", "0h0m"])
    def test_refuses_no_time_at_all(self, text: str) -> None:
        """What lasts no time would never be seen."""
        with pytest.raises(ValueError, match=rf"^'{text}' is no time at all; give one such as 15s, 5m or 1h30m$"):
            positive_seconds(text)

    def test_refuses_what_is_none(self) -> None:
        """With the words used elsewhere."""
        with pytest.raises(ValueError, match=r"^'soon' is not a duration; give one such as"):
            positive_seconds("soon")


class TestPrometheusSeconds:
    """Prometheus's own files."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("15s", 15), ("1m30s", 90), ("500ms", 0.5), ("1d12h", 129_600), ("2w", 1_209_600), ("1y", 31_536_000)],
    )
    def test_reads_durations(self, text: str, expected: float) -> None:
        """A day has 24 hours and a year 365 days, as in Prometheus."""
        assert prometheus_seconds(text) == pytest.approx(expected)

    @pytest.mark.parametrize("text", ["", "15", "1.5m", "30s1m", "1m1m", "3us", "soon"])
    def test_refuses_what_prometheus_refuses(self, text: str) -> None:
        """Fractions, units out of order or twice."""
        with pytest.raises(ValueError, match=r"is not a duration; give one such as 15s"):
            prometheus_seconds(text)
