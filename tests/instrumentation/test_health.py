"""Tests of health and its limits."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from genai_metrics import health, operation, track_dependency, track_llm_call, workflow
from genai_metrics.catalog import CACHE_LOOKUPS
from genai_metrics.observations import count

if TYPE_CHECKING:
    from conftest import Metrics


class TestHealth:
    """Healthy until a limit is passed."""

    def test_healthy(self, metrics: "Metrics") -> None:
        """Nothing recorded, and little memory used."""
        found = health()
        assert (found.status, found.issues) == ("healthy", ())

    def test_memory(self, metrics: "Metrics") -> None:
        """More resident memory than allowed; without a limit none is too much."""
        found = health(memory_bytes=1_000_000)
        assert found.status == "degraded"
        assert found.issues[0].startswith("memory: ")
        assert found.issues[0].endswith("limit 1 MB")
        assert health(memory_bytes=None).status == "healthy"

    @pytest.mark.parametrize(("failures", "status"), [(10, "healthy"), (11, "degraded")])
    def test_error_rate(self, metrics: "Metrics", failures: int, status: str) -> None:
        """10 % of a model's calls may fail, and no more."""
        for number in range(100):
            track_llm_call(model="gpt-4", provider="openai", error_type="500" if number < failures else None)
        found = health()
        assert found.status == status
        if failures > 10:
            assert found.issues == ("calls of openai/gpt-4: 11 of 100 failed (11.0%), limit 10.0%",)
            assert health(error_rate=0.5).status == "healthy"
            assert health(error_rate=None).status == "healthy"

    def test_few_calls_say_little(self, metrics: "Metrics") -> None:
        """One failure of nine is no rate; the floor can be lowered."""
        for _ in range(9):
            with suppress(KeyError), operation("reranking"):
                raise KeyError
        assert health().status == "healthy"
        assert health(minimum_count=9).issues == ("operation reranking: 9 of 9 failed (100.0%), limit 10.0%",)

    def test_no_calls_and_no_floor(self, metrics: "Metrics") -> None:
        """A workflow that still runs has no rate."""
        with workflow(mode="1"):
            assert health(minimum_count=0).status == "healthy"

    def test_latency_and_hit_rate_have_no_limit_but_yours(self, metrics: "Metrics") -> None:
        """They differ too much between applications for a default."""
        for _ in range(10):
            with workflow(mode="1"):
                pass
            count(CACHE_LOOKUPS, ("answers", "1"), slot=1)
        assert health().status == "healthy"
        found = health(workflow_p95_seconds=0.0, cache_hit_rate=0.5)
        assert [issue.split(":")[0] for issue in found.issues] == ["cache answers", "workflows of mode 1"]

    def test_dependency(self, metrics: "Metrics") -> None:
        """One that is down is an issue until it is up again."""
        track_dependency("redis", False)
        assert health().issues == ("dependency redis could not be used",)
        track_dependency("redis", True)
        assert health().status == "healthy"

    def test_metrics_that_could_not_be_stored(self, metrics: "Metrics", tmp_path: Path) -> None:
        """The exporter does not see them."""
        (tmp_path / "file").write_text("")
        metrics.configure(metrics_dir=tmp_path / "file")
        track_llm_call(model="gpt-4")
        assert "recording: 1 faults of kind storage" in health().issues[-1]

    @pytest.mark.parametrize(
        ("limits", "message"),
        [
            ({"error_rate": 10}, "error_rate must be from 0 to 1, not 10"),
            ({"cache_hit_rate": -0.1}, "cache_hit_rate must be from 0 to 1"),
            ({"memory_bytes": -1}, "memory_bytes must be 0 or more"),
            ({"workflow_p95_seconds": float("nan")}, "workflow_p95_seconds must be 0 or more, not nan"),
        ],
    )
    def test_impossible_limits(self, metrics: "Metrics", limits: dict[str, Any], message: str) -> None:
        """Are told at once: 10 for 10 % would never alarm."""
        with pytest.raises(ValueError, match=message):
            health(**limits)
