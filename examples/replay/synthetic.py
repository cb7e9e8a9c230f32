"""Generates a workload from a seed: no data file needed.

The figures are fits of recorded traffic; each constant names where its numbers come from. What no single
recording has, namely tenants, errors and arrivals together with latency and models, is joined here and is
an assumption.

Sources: (A) 31 505 requests of coding-agent sessions, github.com/callanjfox/kv-cache-tester at 94f6046; (M)
the Mooncake conversation trace, github.com/kvcache-ai/Mooncake at 3b5a594; (L) llmperf-leaderboard,
github.com/ray-project/llmperf-leaderboard at 27aa9b6; (S) ServeGen, github.com/alibaba/ServeGen at f891d11;
(B) BurstGPT, github.com/HPMLL/BurstGPT at e92f533.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, pairwise
from random import Random

from replay.workloads import Request

CALLS_PER_SECOND = 30.0
"""Mean rate of the generated stream: lively on a dashboard, and light for one process."""

TENANTS = 60
TENANT_EXPONENT = 0.945  # (S) language/m-large: a client's share falls with its rank to this power
ERROR_RATIO = 0.019  # (B) failures in months two to four
LONGEST_CONTEXT = 900_000  # (A) largest recorded prompt: 894 400 tokens


@dataclass(frozen=True)
class _Curve:
    """An inverse cumulative distribution: ``values[i]`` is the quantile ``levels[i]``; linear in between."""

    levels: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse points that are not pairwise ascending."""
        if len(self.levels) != len(self.values) or any(a > b for a, b in pairwise(self.values)):
            raise ValueError("a curve needs as many values as levels, both ascending")

    def draw(self, random: Random) -> float:
        """One value of the distribution."""
        level = random.random()
        i = min(bisect_right(self.levels, level), len(self.levels) - 1)
        share = (level - self.levels[i - 1]) / (self.levels[i] - self.levels[i - 1])
        return self.values[i - 1] + share * (self.values[i] - self.values[i - 1])


@dataclass(frozen=True)
class _Traffic:
    """Lengths of a kind of traffic: the prompt's lognormal (mu, sigma), curves of answer and cached share."""

    input_lognormal: tuple[float, float]
    output: _Curve
    cached_ratio: _Curve
    block_tokens: int
    streaming_ratio: float


# (A): a fifth of the prompts exceeds 200 000 tokens, where several price tables have their second tier.
AGENTS = _Traffic(
    (11.59, 0.7105),
    _Curve(
        (0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999, 1),
        (0, 59, 108, 155, 235, 386, 916, 3627, 6814, 18200),
    ),
    _Curve(
        (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.95, 1),
        (0, 0, 0.795, 0.941, 0.982, 0.992, 0.996, 0.999, 0.9995),
    ),
    block_tokens=64,
    streaming_ratio=0.23,
)
# (M): answers are two-humped, so that a lognormal does not fit them.
CHATS = _Traffic(
    (8.737, 1.199),
    _Curve((0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1), (1, 10, 24, 156, 350, 472, 597, 698, 1119, 2000)),
    _Curve(
        (0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1),
        (0, 0.0177, 0.0276, 0.0688, 0.363, 0.712, 0.948, 0.976, 0.98),
    ),
    block_tokens=512,
    streaming_ratio=0.6,
)


@dataclass(frozen=True)
class _Model:
    """A model: its share of the calls, and what one call takes.

    Seconds = (base + per_output x output tokens + per_new x thousands of uncached input tokens
    + per_context x thousands of input tokens) x a lognormal residual of that sigma.
    """

    name: str
    provider: str
    share: float
    traffic: _Traffic
    base: float
    per_output: float
    per_new: float
    per_context: float
    sigma: float

    def first_token(self, new: int, context: int) -> float:
        """Seconds to the first token, without the residual."""
        return self.base + (self.per_new * new + self.per_context * context) / 1000


# Agents: shares (of three calls in five) and latencies are fits of (A). Chats: shares are assumed; time to
# first token and per token are medians of (L): anyscale_70b, groq_70b and perplexity_70b stand in, per_new
# as for haiku in (A).
MODELS = (
    _Model("claude-opus-4-5-20251101", "anthropic", 0.29, AGENTS, 2.03, 0.0157, 0.022, 0.00667, 0.211),
    _Model("claude-sonnet-4-5-20250929", "anthropic", 0.19, AGENTS, 1.04, 0.015, 0.0105, 0.0143, 0.207),
    _Model("claude-sonnet-4-20250514", "anthropic", 0.08, AGENTS, 2.06, 0.0143, 0.00281, 0.00682, 0.205),
    _Model("claude-haiku-4-5-20251001", "anthropic", 0.04, AGENTS, 0.152, 0.0088, 0.00158, 0.0153, 0.242),
    _Model("gpt-4o", "openai", 0.14, CHATS, 0.2128, 0.01384, 0.00158, 0.0, 0.2125),
    _Model("gpt-4o-mini", "openai", 0.14, CHATS, 0.2219, 0.003742, 0.00158, 0.0, 0.19),
    _Model("gemini-2.5-pro", "gcp.gemini", 0.12, AGENTS, 0.3661, 0.03047, 0.00158, 0.0, 0.2414),
)

# Kinds of failure: (share, mean seconds). Shares are assumed; refusals are quick, an overloaded server and a
# client's time-out are not.
ERRORS = (("429", 0.7, 0.25), ("529", 0.2, 1.5), ("APITimeoutError", 0.1, 60.0))


def generate(requests: int, *, seed: int) -> list[Request]:
    """The given number of requests (1 or more), in order of time; the same for the same number and seed.

    About 30 calls a second whose rate drifts by a third over ten minutes; tenants ``tenant-01`` to
    ``tenant-60`` of very unequal weight. Raises ``ValueError`` when ``requests`` is below 1.
    """
    if requests < 1:
        raise ValueError(f"requests is {requests}; a workload needs at least 1")
    random = Random(seed)
    weights = list(accumulate(rank**-TENANT_EXPONENT for rank in range(1, TENANTS + 1)))
    shares = list(accumulate(model.share for model in MODELS))
    names = [f"tenant-{rank:02}" for rank in range(1, TENANTS + 1)]
    result = []
    at = 0.0
    for _ in range(requests):
        at += random.expovariate(CALLS_PER_SECOND * (1 + math.sin(2 * math.pi * at / 600) / 3))
        session = random.choices(names, cum_weights=weights)[0]
        model = random.choices(MODELS, cum_weights=shares)[0]
        failed = random.random() < ERROR_RATIO
        result.append(_failure(random, session, at, model) if failed else _answer(random, session, at, model))
    return result


def _answer(random: Random, session: str, at: float, model: _Model) -> Request:
    """A call that succeeded."""
    traffic = model.traffic
    tokens = min(max(1, round(random.lognormvariate(*traffic.input_lognormal))), LONGEST_CONTEXT)
    output = max(1, round(traffic.output.draw(random)))
    cached = int(traffic.cached_ratio.draw(random) * tokens) // traffic.block_tokens * traffic.block_tokens
    residual = random.lognormvariate(0.0, model.sigma)
    first = model.first_token(tokens - cached, tokens) * residual
    streaming = random.random() < traffic.streaming_ratio
    return Request(
        session=session,
        at=at,
        model=model.name,
        provider=model.provider,
        input_tokens=tokens,
        output_tokens=output,
        cache_read_tokens=cached,
        duration=first + model.per_output * output * residual,
        time_to_first_token=first if streaming else None,
        streaming=streaming,
    )


def _failure(random: Random, session: str, at: float, model: _Model) -> Request:
    """A call that failed: it took time and no tokens."""
    error_type, _, seconds = random.choices(ERRORS, weights=[share for _, share, _ in ERRORS])[0]
    duration = seconds * random.lognormvariate(0.0, 0.2)
    return Request(session, at, model.name, model.provider, 0, 0, 0, duration=duration, error_type=error_type)
