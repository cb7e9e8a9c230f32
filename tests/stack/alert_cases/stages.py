"""Alerts on what requests are made of: providers, tools, retrievals."""

from alert_cases import Case, Firing, series
from genai_metrics import catalog
from genai_metrics.catalog import BlockKind

_CALLS = catalog.LLM_CALL.metrics[0]
_ERRORS = catalog.LLM_ERROR.metrics[0]
_RETRIES = catalog.LLM_RETRY.metrics[0]
_PAGE = "/d/genai-performance?var-service=chat"


def _calls(succeeding: str, failing: str, **labels: str) -> dict[str, str]:
    return {series(_CALLS, **labels): succeeding, series(_CALLS, **labels, outcome="error"): failing}


_DOWN = (
    Firing(
        {"service": "chat", "provider": "p"},
        "100% of the calls of service chat to p fail (threshold: 100%).",
        _PAGE,
    ),
)

_PROVIDER_DOWN = (
    # The last success is at 10m: it has left the window of a minute at 10m45s.
    Case(
        "GenAIProviderDown",
        "fires",
        {
            **_calls("0+10x40 400x40", "0x40 0+10x40"),
            # Another model of the provider fails as well; another provider does not; answers from a cache go on.
            **_calls("0+1x40 40x40", "0x40 0+1x40", model="n"),
            **_calls("0+10x80", "0x80", provider="healthy"),
            series(_CALLS, outcome="cached"): "0+10x80",
        },
        before="12m30s",
        at="12m45s",
        firing=_DOWN,
    ),
    Case(
        "GenAIProviderDown",
        "fires",
        _calls("0x80", "0x40 0+0.5x40"),
        before="14m30s",
        at="14m45s",
        firing=_DOWN,
        note="for two calls a minute, once five have failed",
    ),
    Case("GenAIProviderDown", "quiet", _calls("0+0.25x80", "0+9.75x80"), at="15m", note="while a 40th succeeds"),
    Case(
        "GenAIProviderDown",
        "quiet",
        _calls("0+1x36 36x9 37+1x40", "0x36 1+1x8 9x40"),
        at="11m30s",
        note="when it answers again after two and a half minutes",
    ),
    Case("GenAIProviderDown", "quiet", _calls("0x80", "0x30 20x50"), at="9m30s", note="after a burst"),
    # Four calls in 5 minutes, all failing.
    Case("GenAIProviderDown", "low_traffic", _calls("0x80", "0+0.2x80"), at="15m"),
    Case("GenAIProviderDown", "absent", _calls("0x40", "0+10x40"), at="20m", note="after the series have ended"),
    Case("GenAIProviderDown", "absent", {}, at="15m"),
    Case("GenAIProviderDown", "reset", _calls("0+1x40 0+1x40", "0+9x40 0+9x40"), at="12m"),
)


def _limited(share: str) -> tuple[Firing, ...]:
    return (
        Firing(
            {"service": "chat", "provider": "p"},
            f"p turned away {share} of the requests of service chat over the last 5 minutes (threshold: 5%).",
            _PAGE,
        ),
    )


_RATE_LIMITED = (
    Case(
        "GenAIRateLimited",
        "fires",
        {**_calls("0+9x80", "0+1x80"), series(_ERRORS, error_type="429"): "0+1x80"},
        before="5m15s",
        at="5m30s",
        firing=_limited("10%"),
        note="for calls that failed",
    ),
    Case(
        "GenAIRateLimited",
        "fires",
        {series(_CALLS): "0+8x80", series(_RETRIES, reason="RateLimitError"): "0+2x80"},
        before="5m15s",
        at="5m30s",
        firing=_limited("20%"),
        note="for calls that were retried and succeeded",
    ),
    Case(
        "GenAIRateLimited",
        "quiet",
        {
            **_calls("0+50x80", "0+50x80"),
            series(_ERRORS, error_type="500"): "0+45x80",
            series(_ERRORS, error_type="ThrottlingException"): "0+5x80",
            series(_RETRIES, reason="500"): "0+100x80",
            series(_RETRIES, reason="rate_limit_exceeded"): "0+5x80",
        },
        at="15m",
        note="for other errors, and less than a twentieth",
    ),
    Case(
        "GenAIRateLimited",
        "low_traffic",
        {series(_ERRORS, error_type="429"): "0+0.9x80", **_calls("0x80", "0+0.9x80")},
        at="15m",
    ),
    Case("GenAIRateLimited", "absent", {}, at="15m"),
    Case("GenAIRateLimited", "absent", _calls("0+10x80", "0x80"), at="15m", note="without errors or retries"),
    Case(
        "GenAIRateLimited",
        "reset",
        {**_calls("0+96x40 0+96x40", "0+4x40 0+4x40"), series(_ERRORS, error_type="429"): "0+4x40 0+4x40"},
        at="12m",
    ),
)


def _stage(alert: str, kind: BlockKind, share: float, text: str, **labels: str) -> tuple[Case, ...]:
    """Cases of an alert on the share of failures among what a histogram counts; ``share`` is its threshold."""
    metric = kind.metrics[0]

    def runs(failing: float, values: str = "0+Nx80") -> dict[str, str]:
        """Series of ten runs a step, so many of them failing."""
        return {
            series(metric, "_count", **labels): values.replace("N", str(10 - failing)),
            series(metric, "_count", **labels, outcome="error"): values.replace("N", str(failing)),
        }

    ((label, value),) = labels.items()
    broken = Firing({"service": "chat", **labels}, text, _PAGE)
    return (
        Case(
            alert,
            "fires",
            runs(5) | {series(metric, "_count", **{label: "healthy"}): "0+10x80"},
            before="10m15s",
            at="10m30s",
            firing=(broken,),
            note=f"for {value} only",
        ),
        Case(alert, "quiet", runs(9.9 * share), at="18m"),
        # 19 in 5 minutes, all failing.
        Case(alert, "low_traffic", {series(metric, "_count", **labels, outcome="error"): "0+0.95x80"}, at="18m"),
        Case(alert, "absent", runs(5, "0+Nx50"), at="40m", note="after the series have ended"),
        Case(alert, "absent", {}, at="18m"),
        Case(alert, "reset", runs(9.9 * share, "0+Nx40 0+Nx40"), at="18m"),
    )


CASES = (
    *_PROVIDER_DOWN,
    *_RATE_LIMITED,
    *_stage(
        "GenAIToolFailureRate",
        catalog.TOOL,
        0.1,
        "50% of the calls of tool search of service chat failed over the last 5 minutes (threshold: 10%).",
        tool="search",
    ),
    *_stage(
        "GenAIRetrievalFailureRate",
        catalog.RETRIEVAL,
        0.05,
        "50% of the retrievals of service chat from docs failed over the last 5 minutes (threshold: 5%).",
        source="docs",
    ),
)
