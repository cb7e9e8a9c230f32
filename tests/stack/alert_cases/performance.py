"""GenAIHighErrorRate."""

from alert_cases import Case, Firing, series
from genai_metrics import catalog

_CALLS = catalog.LLM_CALL.metrics[0]
_WORKFLOWS = catalog.WORKFLOW.metrics[0]
_PAGE = "/d/genai-performance?var-service=chat&var-mode=1"


def _calls(succeeding: str, failing: str, service: str = "chat") -> dict[str, str]:
    return {
        series(_CALLS, service=service): succeeding,
        series(_CALLS, service=service, outcome="error"): failing,
    }


CASES = (
    Case(
        "GenAIHighErrorRate",
        "fires",
        {**_calls("0+9x80", "0+1x80"), **_calls("0+15x80", "0+0x80", service="healthy")},
        before="5m",
        at="15m",
        firing=(
            Firing(
                {"service": "chat", "mode": "1", "of": "LLM calls"},
                "10% of the LLM calls of service chat, mode 1, failed over the last 5 minutes (threshold: 5%).",
                _PAGE,
            ),
        ),
        note="for LLM calls of the failing service only",
    ),
    Case(
        "GenAIHighErrorRate",
        "fires",
        {
            series(_WORKFLOWS, "_count"): "0+8x80",
            series(_WORKFLOWS, "_count", outcome="error"): "0+2x80",
        },
        before="5m",
        at="15m",
        firing=(
            Firing(
                {"service": "chat", "mode": "1", "of": "workflows"},
                "20% of the workflows of service chat, mode 1, failed over the last 5 minutes (threshold: 5%).",
                _PAGE,
            ),
        ),
        note="for workflows",
    ),
    Case("GenAIHighErrorRate", "quiet", _calls("0+96x80", "0+4x80"), at="15m"),
    # One call in 20 s: 15 in 5 minutes, below the floor of 20.
    Case("GenAIHighErrorRate", "low_traffic", _calls("0x80", "0+0.75x80"), at="15m"),
    Case("GenAIHighErrorRate", "absent", _calls("0+9x40", "0+1x40"), at="40m", note="after the series have ended"),
    Case("GenAIHighErrorRate", "absent", {}, at="15m"),
    Case("GenAIHighErrorRate", "reset", _calls("0+96x40 0+96x40", "0+4x40 0+4x40"), at="12m"),
)
