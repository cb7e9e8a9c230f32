"""Alerts on failures and speed of workflows and LLM calls."""

from alert_cases import Case, Firing, histogram, series
from genai_metrics import catalog

_CALLS, _CALL_SECONDS = catalog.LLM_CALL.metrics[:2]
_FIRST_TOKEN = catalog.LLM_STREAM.metrics[0]
_WORKFLOWS = catalog.WORKFLOW.metrics[0]
_PAGE = "/d/genai-performance?var-service=chat&var-mode=1"


def _calls(succeeding: str, failing: str, service: str = "chat") -> dict[str, str]:
    return {
        series(_CALLS, service=service): succeeding,
        series(_CALLS, service=service, outcome="error"): failing,
    }


def _workflows(succeeding: str, failing: str) -> dict[str, str]:
    return {
        series(_WORKFLOWS, "_count"): succeeding,
        series(_WORKFLOWS, "_count", outcome="error"): failing,
    }


def _failing(of: str, share: str, threshold: str) -> tuple[Firing, ...]:
    text = f"{share} of the {of} of service chat, mode 1, failed over the last 5 minutes (threshold: {threshold})."
    return (Firing({"service": "chat", "mode": "1", "of": of}, text, _PAGE),)


_ERRORS = (
    Case(
        "GenAIHighErrorRate",
        "fires",
        {**_calls("0+9x80", "0+1x80"), **_calls("0+15x80", "0+0x80", service="healthy")},
        before="5m15s",
        at="5m30s",
        firing=_failing("LLM calls", "10%", "5%"),
        note="for LLM calls of the failing service only",
    ),
    Case(
        "GenAIHighErrorRate",
        "fires",
        _workflows("0+8x80", "0+2x80"),
        before="5m15s",
        at="5m30s",
        firing=_failing("workflows", "20%", "5%"),
        note="for workflows",
    ),
    Case(
        "GenAIHighErrorRate",
        "fires",
        {
            series(_CALLS, service='r&d "x"', outcome="error"): "0+10x80",
        },
        at="15m",
        firing=(
            Firing(
                {"service": 'r&d "x"', "mode": "1", "of": "LLM calls"},
                '100% of the LLM calls of service r&d "x", mode 1, failed over the last 5 minutes (threshold: 5%).',
                "/d/genai-performance?var-service=r%26d+%22x%22&var-mode=1",
            ),
        ),
        note="whatever the service is called",
    ),
    Case("GenAIHighErrorRate", "quiet", _calls("0+95.2x80", "0+4.8x80"), at="15m"),
    Case(
        "GenAIHighErrorRate",
        "quiet",
        _calls("0+10x80", "0x40 30x40"),
        at="14m45s",
        note="after one burst of failures, a seventh of 5 minutes",
    ),
    # Three calls in a minute: 15 in 5 minutes, below the floor of 20.
    Case("GenAIHighErrorRate", "low_traffic", _calls("0x80", "0+0.75x80"), at="15m"),
    Case("GenAIHighErrorRate", "absent", _calls("0+9x40", "0+1x40"), at="40m", note="after the series have ended"),
    Case("GenAIHighErrorRate", "absent", {}, at="15m"),
    Case("GenAIHighErrorRate", "reset", _calls("0+95.2x40 0+95.2x40", "0+4.8x40 0+4.8x40"), at="12m"),
    Case(
        "GenAIElevatedErrorRate",
        "fires",
        _calls("0+97x80", "0+3x80"),
        before="10m",
        at="10m15s",
        firing=_failing("LLM calls", "3%", "2%"),
        note="for LLM calls",
    ),
    Case(
        "GenAIElevatedErrorRate",
        "fires",
        _workflows("0+9x80", "0+1x80"),
        before="10m15s",
        at="10m30s",
        firing=_failing("workflows", "10%", "2%"),
        note="for workflows",
    ),
    Case("GenAIElevatedErrorRate", "quiet", _calls("0+98.1x80", "0+1.9x80"), at="18m"),
    Case(
        "GenAIElevatedErrorRate",
        "quiet",
        _workflows("0+2x80", "0x40 1x40"),
        at="18m",
        note="after a single failure that is 2.5 % of what a small service does in 5 minutes",
    ),
    Case("GenAIElevatedErrorRate", "low_traffic", _calls("0+0.7x80", "0+0.1x80"), at="18m"),
    Case("GenAIElevatedErrorRate", "absent", _calls("0+9x40", "0+1x40"), at="40m", note="after the series have ended"),
    Case("GenAIElevatedErrorRate", "absent", {}, at="18m"),
    Case("GenAIElevatedErrorRate", "reset", _calls("0+98.1x40 0+98.1x40", "0+1.9x40 0+1.9x40"), at="18m"),
)


def _slow(of: str, quantile: str, found: str, threshold: str) -> tuple[Firing, ...]:
    text = f"The {quantile} duration of the {of} of service chat, mode 1, is {found} (threshold: {threshold})."
    return (Firing({"service": "chat", "mode": "1", "of": of}, text, _PAGE),)


# Of 10 a step, a tenth takes 10 to 20 seconds: the 95th percentile lies in the middle between.
_TENTH_SLOW = {"2.5": 9, "10.0": 9, "20.0": 10}
_USUALLY_SLOW = {"5.0": 0, "10.0": 24, "20.0": 25}
# Of 10 a step, a tenth takes 30 to 60 seconds: the 99th percentile lies at nine tenths between.
_TENTH_VERY_SLOW = {"2.5": 9, "30.0": 9, "60.0": 10}

_LATENCY = (
    Case(
        "GenAIHighLatency",
        "fires",
        histogram(_WORKFLOWS, _TENTH_SLOW),
        before="5m15s",
        at="5m30s",
        firing=_slow("workflows", "p95", "15s", "10s"),
        note="for workflows",
    ),
    Case(
        "GenAIHighLatency",
        "fires",
        {**histogram(_CALL_SECONDS, _TENTH_SLOW), series(_CALLS): "0+10x80"},
        before="5m15s",
        at="5m30s",
        firing=_slow("LLM calls", "p95", "15s", "10s"),
        note="for LLM calls where no workflow is recorded",
    ),
    Case(
        "GenAIHighLatency",
        "quiet",
        {
            **histogram(_CALL_SECONDS, _TENTH_SLOW),
            series(_CALLS): "0+10x80",
            **histogram(_WORKFLOWS, {"2.5": 1}, "0+Nx20 20x60"),
        },
        at="18m",
        note="for LLM calls within workflows, also while none ends",
    ),
    # 4 % take longer than 10 seconds, and nearly all others nearly as long.
    Case("GenAIHighLatency", "quiet", histogram(_WORKFLOWS, _USUALLY_SLOW), at="15m"),
    Case("GenAIHighLatency", "low_traffic", histogram(_WORKFLOWS, {"2.5": 0, "20.0": 0.9}), at="15m"),
    Case(
        "GenAIHighLatency",
        "low_traffic",
        histogram(_WORKFLOWS, {"2.5": 1.5}) | histogram(_WORKFLOWS, {"20.0": 1}, "0x40 Nx40", outcome="error"),
        at="15m",
        note="one slow request of 31",
    ),
    Case("GenAIHighLatency", "absent", histogram(_WORKFLOWS, _TENTH_SLOW, "0+Nx40"), at="40m", note="after the end"),
    Case("GenAIHighLatency", "absent", {}, at="15m"),
    Case(
        "GenAIHighLatency",
        "reset",
        histogram(_WORKFLOWS, _USUALLY_SLOW, "0+Nx40 0+Nx40"),
        at="15m",
    ),
    Case(
        "GenAIVeryHighLatency",
        "fires",
        histogram(_WORKFLOWS, _TENTH_VERY_SLOW),
        before="5m15s",
        at="5m30s",
        firing=_slow("workflows", "p99", "57s", "30s"),
        note="for workflows",
    ),
    Case(
        "GenAIVeryHighLatency",
        "fires",
        {**histogram(_CALL_SECONDS, {"2.5": 9, "40.0": 9, "80.0": 10}), series(_CALLS): "0+10x80"},
        before="5m15s",
        at="5m30s",
        firing=_slow("LLM calls", "p99", "1m 15s", "30s"),
        note="for LLM calls where no workflow is recorded",
    ),
    # The hundredth of 200 a step, and all others in 20 to 30 seconds.
    Case("GenAIVeryHighLatency", "quiet", histogram(_WORKFLOWS, {"20.0": 0, "30.0": 199, "60.0": 200}), at="15m"),
    Case(
        "GenAIVeryHighLatency",
        "quiet",
        {
            **histogram(_CALL_SECONDS, {"40.0": 0, "80.0": 10}),
            series(_CALLS): "0+10x80",
            **histogram(_WORKFLOWS, {"2.5": 1}),
        },
        at="15m",
        note="for LLM calls within workflows",
    ),
    Case("GenAIVeryHighLatency", "low_traffic", histogram(_WORKFLOWS, {"30.0": 0, "60.0": 0.9}), at="15m"),
    Case(
        "GenAIVeryHighLatency",
        "low_traffic",
        histogram(_WORKFLOWS, {"2.5": 1.5}) | histogram(_WORKFLOWS, {"60.0": 1}, "0x40 Nx40", outcome="error"),
        at="14m45s",
        note="one slow request of 31",
    ),
    Case("GenAIVeryHighLatency", "absent", histogram(_WORKFLOWS, _TENTH_VERY_SLOW, "0+Nx40"), at="40m"),
    Case("GenAIVeryHighLatency", "absent", {}, at="15m"),
    Case(
        "GenAIVeryHighLatency",
        "reset",
        histogram(_WORKFLOWS, {"30.0": 199, "60.0": 200}, "0+Nx40 0+Nx40"),
        at="15m",
    ),
    Case(
        "GenAISlowFirstToken",
        "fires",
        # A tenth takes 5 to 10 seconds.
        histogram(_FIRST_TOKEN, {"1.0": 9, "5.0": 9, "10.0": 10}) | {series(_CALLS): "0+20x80"},
        before="10m15s",
        at="10m30s",
        firing=(
            Firing(
                {"service": "chat", "mode": "1"},
                "The p95 time to the first token of service chat, mode 1, is 7.5s (threshold: 5s).",
                _PAGE,
            ),
        ),
    ),
    Case(
        "GenAISlowFirstToken",
        "quiet",
        histogram(_FIRST_TOKEN, {"2.5": 0, "5.0": 24, "10.0": 25}) | {series(_CALLS): "0+25x80"},
        at="18m",
    ),
    Case(
        "GenAISlowFirstToken",
        "low_traffic",
        histogram(_FIRST_TOKEN, {"5.0": 0, "10.0": 0.9}) | {series(_CALLS): "0+20x80"},
        at="18m",
        note="of streamed calls, among many others",
    ),
    Case(
        "GenAISlowFirstToken",
        "absent",
        histogram(_FIRST_TOKEN, {"5.0": 0, "10.0": 10}, "0+Nx50") | {series(_CALLS): "0+10x50"},
        at="40m",
    ),
    Case("GenAISlowFirstToken", "absent", {}, at="18m"),
    Case("GenAISlowFirstToken", "absent", {series(_CALLS): "0+20x80"}, at="18m", note="when nothing is streamed"),
    Case(
        "GenAISlowFirstToken",
        "reset",
        histogram(_FIRST_TOKEN, {"2.5": 0, "5.0": 24, "10.0": 25}, "0+Nx40 0+Nx40")
        | {series(_CALLS): "0+25x40 0+25x40"},
        at="18m",
    ),
)

CASES = (*_ERRORS, *_LATENCY)
