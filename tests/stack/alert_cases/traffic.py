"""GenAINoTraffic."""

from alert_cases import Case, Firing, series
from genai_metrics import catalog

_CALLS = catalog.LLM_CALL.metrics[0]
_WORKFLOWS = catalog.WORKFLOW.metrics[0]


def _no_traffic(service: str, usual: str) -> tuple[Firing, ...]:
    return (
        Firing(
            {"service": service},
            f"Service {service} has no requests; at this time last week it had {usual} an hour (threshold: 60).",
            f"/d/genai-performance?var-service={service}",
        ),
    )


# What is recorded of the requests a second, every 10 minutes, for speed; other cases begin with calls.
_REQUESTS = 'service:genai_requests:rate5m{service="chat"}'
# A week is 1008 steps of 10 minutes. 72 requests an hour until an hour after that, then none.
_USUAL = "0.02x1014 0x50"

CASES = (
    Case(
        "GenAINoTraffic",
        "fires",
        # A week is 2520 steps of 4 minutes, 8 requests in each; nothing is scraped from the fourth hour to its end.
        {
            series(_WORKFLOWS, "_count"): "0+8x60 _x2459 480+8x30 720x10",
            # Its LLM calls end as well; those of another service do not.
            series(_CALLS): "0+9x60 _x2459 540+9x30 810x10",
            series(_CALLS, service="other"): "0+9x60 _x2459 540+9x40",
        },
        interval="4m",
        before="7d2h16m",
        at="7d2h20m",
        firing=_no_traffic("chat", "120"),
        note="for a service with workflows",
    ),
    Case(
        "GenAINoTraffic",
        "fires",
        {_REQUESTS: _USUAL},
        interval="10m",
        before="7d1h20m",
        at="7d1h30m",
        firing=_no_traffic("chat", "72"),
    ),
    Case(
        "GenAINoTraffic",
        "fires",
        {_REQUESTS: "0.02x1014"},
        interval="10m",
        before="7d1h20m",
        at="7d1h30m",
        firing=_no_traffic("chat", "72"),
        note="when the series are gone",
    ),
    Case("GenAINoTraffic", "quiet", {_REQUESTS: "0.02x1014 0.0001x50"}, interval="10m", at="7d2h"),
    Case(
        "GenAINoTraffic",
        "quiet",
        {_REQUESTS: "0.02x1014", 'up{job="genai-exporter",instance="a:9840"}': "1x1014 0x20"},
        interval="10m",
        at="7d1h30m",
        note="when it is the exporter that is down",
    ),
    Case(
        "GenAINoTraffic",
        "quiet",
        {_REQUESTS: "0.05x6 0x2000"},
        interval="10m",
        at="7d1h30m",
        note="when traffic ended at this hour last week, too",
    ),
    Case(
        "GenAINoTraffic",
        "quiet",
        {_REQUESTS: "0x15 0.02x999 0x50"},
        interval="10m",
        at="7d2h",
        note="when traffic began only after this hour last week",
    ),
    # 58 an hour.
    Case("GenAINoTraffic", "low_traffic", {_REQUESTS: "0.0161x1014 0x50"}, interval="10m", at="7d2h"),
    Case("GenAINoTraffic", "absent", {}, at="15m"),
    Case("GenAINoTraffic", "absent", {_REQUESTS: "0.02x100"}, interval="10m", at="8d", note="more than a week ago"),
    Case(
        "GenAINoTraffic",
        "reset",
        {series(_CALLS): "0+8x60 _x2459 480+8x30 0+8x10"},
        interval="4m",
        at="7d2h20m",
    ),
)
