"""Tests of replay.synthetic: the generated traffic has what the recorded one has."""

from collections import Counter

import pytest

from replay.synthetic import CALLS_PER_SECOND, MODELS, generate


class TestGenerate:
    """The seeded workload."""

    def test_is_the_same_for_the_same_seed(self) -> None:
        """Seed and length decide everything; a longer workload begins like a shorter one."""
        assert generate(500, seed=3) == generate(500, seed=3)
        assert generate(500, seed=3) == generate(900, seed=3)[:500]
        assert generate(500, seed=3) != generate(500, seed=4)

    def test_uses_every_model_and_reaches_the_second_price_tier(self) -> None:
        """Some prompts of tiered models exceed 200 000 tokens, and most do not."""
        requests = generate(5000, seed=2)
        assert {model.name for model in MODELS} == {request.model for request in requests}
        sonnet = [r.input_tokens > 200_000 for r in requests if r.model == "claude-sonnet-4-5-20250929"]
        assert 0.1 < sum(sonnet) / len(sonnet) < 0.3

    def test_fails_about_one_call_in_fifty(self) -> None:
        """Failed calls take time and no tokens; their types are few."""
        requests = generate(20_000, seed=2)
        failed = [request for request in requests if request.error_type]
        assert 0.015 < len(failed) / len(requests) < 0.025
        assert {"429", "529", "APITimeoutError"} == {request.error_type for request in failed}
        assert all(r.input_tokens == r.output_tokens == 0 and r.duration for r in failed)

    def test_weighs_tenants_unequally(self) -> None:
        """The first tenant has several times the calls of the twentieth, and all sixty appear."""
        calls = Counter(request.session for request in generate(20_000, seed=2))
        assert len(calls) == 60
        assert calls["tenant-01"] > 5 * calls["tenant-20"]

    def test_streams_about_as_fast_as_it_says(self) -> None:
        """The mean rate over ten minutes is the published one, within a tenth."""
        requests = generate(18_000, seed=2)
        assert 18_000 / requests[-1].at == pytest.approx(CALLS_PER_SECOND, rel=0.1)

    def test_gives_streamed_answers_a_first_token(self) -> None:
        """A time to first token belongs to streamed answers that succeeded, and to no others."""
        for request in generate(2000, seed=2):
            assert (request.time_to_first_token is not None) == (request.streaming and request.error_type is None)

    def test_refuses_an_empty_workload(self) -> None:
        """No requests are no workload."""
        with pytest.raises(ValueError, match="at least 1"):
            generate(0, seed=1)
