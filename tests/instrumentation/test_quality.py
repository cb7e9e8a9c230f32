"""Tests of scores, feedback, degradations and warnings."""

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_metrics import track_degradation, track_feedback, track_quality, track_warning, workflow

if TYPE_CHECKING:
    from conftest import Metrics

BELOW = "genai_quality_below_threshold_total"
ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.text(), st.floats(), st.integers(), st.booleans(), st.lists(st.integers()), st.just(10**400)
)


class TestQuality:
    """Scores on their scale, against the threshold of their priority."""

    @pytest.mark.parametrize(
        ("priority", "score", "below"),
        [
            ("critical", 7.9, 1),
            ("critical", 8, 0),
            ("important", 6.9, 1),
            ("important", 7, 0),
            (None, 5.9, 1),
            (None, 6, 0),
            ("low", 4.9, 1),
            ("low", 5, 0),
            ("unheard of", 5.9, 1),
        ],
    )
    def test_thresholds(self, metrics: "Metrics", priority: str | None, score: float, below: int) -> None:
        """8, 7, 6 and 5 of 10; an unknown priority is a normal one."""
        track_quality(score, scale=10, priority=priority, evaluator="judge", mode="1")
        assert metrics.value("genai_quality_score_count", evaluator="judge", mode="1") == 1
        assert metrics.value("genai_quality_score_sum") == pytest.approx(score / 10)
        assert metrics.value(BELOW, evaluator="judge", mode="1") == below

    def test_own_thresholds(self, metrics: "Metrics") -> None:
        """Those that are configured hold, beside the defaults."""
        metrics.configure(quality_thresholds={"legal": 0.95, "low": 0.1})
        track_quality(0.94, priority="legal")
        track_quality(0.2, priority="low")
        track_quality(0.79, priority="critical")
        assert metrics.value(BELOW) == 2

    def test_priority_of_the_workflow(self, metrics: "Metrics") -> None:
        """The one around, unless one is given."""
        with workflow(mode="1", priority="critical"):
            track_quality(0.75)
            track_quality(0.75, priority="normal")
        assert metrics.value(BELOW, mode="1") == 1

    def test_priority_of_another_type(self, metrics: "Metrics") -> None:
        """Is a normal one, and a fault; the score counts."""
        track_quality(0.59, priority=["critical"])  # type: ignore[arg-type]
        assert metrics.value(BELOW) == 1
        assert metrics.faults() == {"bad_label": 1}

    @pytest.mark.parametrize(
        ("score", "scale"), [(-1, 10), (11, 10), (1, 0), (1, -1), (float("nan"), 1), ("1", 1), (None, 1), (1, None)]
    )
    def test_scores_off_the_scale_are_left_out(self, metrics: "Metrics", score: Any, scale: Any) -> None:
        """And counted once as a bad number, but for what was not given at all."""
        track_quality(score, scale=scale)
        assert metrics.value("genai_quality_score_count") == 0
        assert metrics.value(BELOW) == 0
        given_badly = score is not None and scale is not None
        assert metrics.faults() == ({"bad_number": 1} if given_badly else {})


class TestFeedback:
    """What users say."""

    def test_ratings_and_satisfaction(self, metrics: "Metrics") -> None:
        """Up, down, a number, or both at once."""
        track_feedback("up", mode="1")
        track_feedback("down", mode="1", satisfaction=4, scale=5)
        track_feedback(satisfaction=1)
        assert metrics.value("genai_feedback_total", mode="1", rating="up") == 1
        assert metrics.value("genai_feedback_total", mode="1", rating="down") == 1
        assert metrics.value("genai_user_satisfaction_sum", mode="1") == pytest.approx(0.8)
        assert metrics.value("genai_user_satisfaction_count") == 2
        assert metrics.faults() == {}

    def test_other_ratings_are_faults(self, metrics: "Metrics") -> None:
        """Neither up nor down."""
        track_feedback("good")
        assert metrics.value("genai_feedback_total") == 0
        assert metrics.faults() == {"bad_label": 1}


class TestWarnings:
    """Counted by mode and kind."""

    def test_mode(self, metrics: "Metrics") -> None:
        """Given, or the workflow's."""
        with workflow(mode="1"):
            track_degradation("smaller_model")
            track_warning("slow", mode="2")
        track_warning("slow")
        assert metrics.value("genai_degradations_total", mode="1", reason="smaller_model") == 1
        assert metrics.value("genai_warnings_total", mode="2", kind="slow") == 1
        assert metrics.value("genai_warnings_total", mode="default", kind="slow") == 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=ANYTHING, two=ANYTHING, three=ANYTHING)
def test_bad_input_never_raises(metrics: "Metrics", one: Any, two: Any, three: Any) -> None:
    """Whatever is passed, nothing is an internal fault."""
    track_quality(one, scale=two, evaluator=three, mode=one, priority=two)
    track_feedback(one, satisfaction=two, scale=three, mode=three)
    track_degradation(one, mode=two)
    track_warning(one, mode=three)
    assert "internal" not in metrics.faults(), (one, two, three)
