"""Tests of fake_llm.fits: the constants are those of the recordings, and what is drawn has their shape."""

import json
from pathlib import Path
from random import Random
from statistics import mean, quantiles
from typing import Any

import pytest

from fake_llm import fits
from fake_llm.fits import LogNormal

DATA = Path(__file__).parents[2].parent / "shared" / "data"
"""The recordings, which are not part of the repository."""


def recorded(name: str) -> Any:
    """The parameters of a recording."""
    return json.loads((DATA / name / "params.json").read_text())


def lognormal(found: Any) -> LogNormal:
    """A fit as it stands there."""
    return LogNormal(found["mu"], found["sigma"])


class TestConstants:
    """The figures that were copied, beside those of the recordings where these are at hand."""

    if DATA.exists():

        def test_paces_are_those_of_the_providers(self) -> None:
            """Time to the first token and per token, of the provider that is named beside each."""
            providers = recorded("request-latency")["providers"]
            agents = recorded("agentic-sessions")["lognormal"]

            def pace(name: str) -> tuple[LogNormal, LogNormal]:
                return lognormal(providers[name]["ttft_ln"]), lognormal(providers[name]["tpot_ln"])

            def own(pace: fits.Pace) -> tuple[LogNormal, LogNormal]:
                return pace.first, pace.per_token

            assert own(fits.SMALL_OPENAI) == pace("together_7b")
            assert own(fits.LARGE_OPENAI) == pace("together_70b")
            assert own(fits.SMALL_ANTHROPIC) == pace("fireworks_7b")
            assert fits.LARGE_ANTHROPIC.first == pace("fireworks_70b")[0]
            assert fits.LARGE_ANTHROPIC.per_token == lognormal(agents["time_per_output_token_s"])
            assert pace("groq_70b")[0] == fits.EMBEDDING
            assert pace("replicate_70b")[0] == fits.SLOW_START

        def test_lengths_and_shares_are_those_of_agents_and_answers(self) -> None:
            """Words, thoughts, the share of tool calls, and scores."""
            agents, scores = recorded("agentic-sessions"), recorded("eval-scores")
            assert lognormal(scores["response_words_lognormal"]) == fits.ANSWER_WORDS
            assert round(scores["response_words"]["p95"]) == fits.LONGEST_ANSWER_WORDS
            assert lognormal(agents["lognormal"]["output_tokens"]) == fits.REASONING_TOKENS
            assert agents["stop_mix"]["tool_use"] == fits.TOOL_USE_SHARE
            overall = scores["zero_one_inflated_beta"]["overall"]
            assert overall == {
                "share_0": fits.SCORE_ZERO_SHARE,
                "share_1": fits.SCORE_ONE_SHARE,
                "alpha": fits.SCORE_ALPHA,
                "beta": fits.SCORE_BETA,
            }
            assert scores["dist"]["overall"]["mean"] == fits.SCORE_MEAN


class TestDraws:
    """What is drawn."""

    @pytest.mark.parametrize("target", [0.0, 0.3, 0.5, 0.85, 1.0])
    def test_scores_have_the_mean_that_is_asked_for(self, target: float) -> None:
        """Within the error of 20 000 draws, and none is outside 0 to 1."""
        random = Random(1)
        scores = [fits.draw_score(random, target) for _ in range(20_000)]
        assert mean(scores) == pytest.approx(target, abs=0.01)
        assert min(scores) >= 0
        assert max(scores) <= 1

    def test_three_in_four_scores_are_good_by_default(self) -> None:
        """At a mean of 0.85, a threshold of 0.8 accepts more than 70 %."""
        random = Random(1)
        assert mean(fits.draw_score(random, 0.85) >= 0.8 for _ in range(20_000)) > 0.72

    def test_scores_at_the_recorded_mean_are_those_recorded(self) -> None:
        """Nothing is moved then: the shares of 0 and of 1 are as recorded."""
        random = Random(1)
        scores = [fits.draw_score(random, fits.SCORE_MEAN) for _ in range(20_000)]
        assert scores.count(0.0) / 20_000 == pytest.approx(fits.SCORE_ZERO_SHARE, abs=0.01)
        assert scores.count(1.0) / 20_000 == pytest.approx(fits.SCORE_ONE_SHARE, abs=0.005)

    def test_log_normals_have_their_quantiles(self) -> None:
        """Half of the answers have 74 words or fewer; none has more than the limit."""
        random = Random(1)
        words = [fits.ANSWER_WORDS.draw(random, 254.0) for _ in range(20_000)]
        assert quantiles(words, n=2)[0] == pytest.approx(74, rel=0.03)
        assert max(words) == 254.0

    def test_first_tokens_are_fast_but_for_a_few(self) -> None:
        """The 95th percentile is below a second; four in a thousand are slow starts, of 20 seconds at most."""
        random = Random(1)
        for provider, model in (
            *(("openai", "gpt-4o-mini"), ("openai", "gpt-4o")),
            *(("anthropic", "claude-haiku-4-5"), ("anthropic", "claude-sonnet-4-6")),
        ):
            pace = fits.pace_of(provider, model)
            seconds = [fits.draw_first(pace, random) for _ in range(20_000)]
            assert quantiles(seconds, n=20)[-1] < 1.0
            assert 0.0005 < mean(each > 2.5 for each in seconds) < 0.004
            assert max(seconds) <= 20.0
            assert max(fits.draw_first(pace, random, slow_starts=0) for _ in range(20_000)) < 2.5
            assert quantiles((fits.draw_first(pace, random, slow_starts=1) for _ in range(2_000)), n=2)[0] > 1.0

    def test_small_models_are_faster(self) -> None:
        """Names tell which are small."""
        assert fits.pace_of("openai", "gpt-4o-mini") == fits.pace_of("openai", "gpt-4.1-nano") == fits.SMALL_OPENAI
        assert fits.pace_of("openai", "gpt-4o") == fits.LARGE_OPENAI
        assert fits.pace_of("anthropic", "claude-haiku-4-5") == fits.SMALL_ANTHROPIC
        assert fits.pace_of("anthropic", "claude-sonnet-4-6") == fits.LARGE_ANTHROPIC
