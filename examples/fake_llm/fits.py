"""How long answers are and how long they take: fits of recorded traffic, copied as figures.

Sources: (L) llmperf-leaderboard, github.com/ray-project/llmperf-leaderboard at 27aa9b6, 150 requests of each provider
and size; (A) 31 505 requests of coding-agent sessions, github.com/callanjfox/kv-cache-tester at 94f6046; (E)
RAGChecker, github.com/amazon-science/RAGChecker at 6091f08, 392 answers of RAG systems with their automatic scores.
Which recording stands for which model is an assumption. Imports the standard library only.
"""

import math
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal distribution by the mean and standard deviation of the logarithm."""

    mu: float
    sigma: float

    def draw(self, random: Random, most: float = math.inf) -> float:
        """One value, at most ``most``."""
        return min(random.lognormvariate(self.mu, self.sigma), most)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds to the first token, and seconds for each one."""

    first: LogNormal
    per_token: LogNormal


SMALL_OPENAI = Pace(LogNormal(-0.5683, 0.2325), LogNormal(-4.598, 0.1256))  # (L) together_7b
LARGE_OPENAI = Pace(LogNormal(-0.4845, 0.1425), LogNormal(-4.438, 0.1336))  # (L) together_70b
SMALL_ANTHROPIC = Pace(LogNormal(-1.138, 0.2213), LogNormal(-4.502, 0.03005))  # (L) fireworks_7b
LARGE_ANTHROPIC = Pace(LogNormal(-0.7008, 0.2433), LogNormal(-4.059, 0.3328))  # (L) fireworks_70b, (A) per token
EMBEDDING = LogNormal(-1.497, 0.1889)  # (L) groq_70b, time to first token: the fastest recorded

SLOW_START = LogNormal(0.6405, 1.052)  # (L) replicate_70b, time to first token: models that must be loaded first
SLOW_START_SHARE = 0.004  # assumed: cold starts are rare, and seen on the 99.9th percentile
LONGEST_FIRST_SECONDS = 20.0
LONGEST_ANSWER_SECONDS = 60.0

ANSWER_WORDS = LogNormal(4.305, 1.075)  # (E) words of an answer
LONGEST_ANSWER_WORDS = 254.0  # (E) 95th percentile; beyond it the fit is longer than what was recorded
REASONING_TOKENS = LogNormal(5.617, 0.8791)  # (A) output tokens: most of what an agent's model writes is not shown
LONGEST_REASONING = 4096.0

TOOL_USE_SHARE = 0.82  # (A) share of answers that call a tool, where tools are offered
TOOL_USE_AGAIN_SHARE = 0.3  # assumed, after each result: agents of the demo take two or three steps
MOST_TOOL_CALLS = 6  # assumed

# (E) "overall": share of zeros and of ones, the Beta distribution of the rest, and the mean of all.
SCORE_ZERO_SHARE, SCORE_ONE_SHARE = 0.12, 0.00765
SCORE_ALPHA, SCORE_BETA = 1.89, 1.96
SCORE_MEAN = 0.4367


def pace_of(provider: str, model: str) -> Pace:
    """The pace of a model, by whether its name is one of a small model."""
    is_small = any(word in model for word in ("mini", "nano", "haiku"))
    if provider == "anthropic":
        return SMALL_ANTHROPIC if is_small else LARGE_ANTHROPIC
    return SMALL_OPENAI if is_small else LARGE_OPENAI


def draw_first(pace: Pace, random: Random, slow_starts: float = SLOW_START_SHARE) -> float:
    """Seconds to the first token, now and then (a share from 0 to 1) those of a slow start."""
    slow = random.random() < slow_starts
    return (SLOW_START if slow else pace.first).draw(random, LONGEST_FIRST_SECONDS)


def draw_score(random: Random, mean: float) -> float:
    """A score from 0 to 1 in the recorded shape, moved to ``mean``; two decimals.

    The recorded answers are worse than those of a service that somebody runs (mean 0.44). Above that mean the shape is
    squeezed towards 1, below it towards 0.
    """
    level = random.random()
    drawn = random.betavariate(SCORE_ALPHA, SCORE_BETA)
    if level < SCORE_ZERO_SHARE:
        drawn = 0.0
    elif level >= 1.0 - SCORE_ONE_SHARE:
        drawn = 1.0
    if mean >= SCORE_MEAN:
        return round(1.0 - (1.0 - drawn) * (1.0 - mean) / (1.0 - SCORE_MEAN), 2)
    return round(drawn * mean / SCORE_MEAN, 2)
