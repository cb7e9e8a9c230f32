"""Alerts on how good answers are."""

from alert_cases import Case, Firing, histogram, series
from genai_metrics import catalog

_SCORES = catalog.QUALITY.metrics[0]
_ROUNDS = catalog.WORKFLOW_ITERATIONS.metrics[0]
_FIRST = catalog.FIRST_PASS.metrics[0]
_WORKFLOWS = catalog.WORKFLOW.metrics[0]
_DEGRADATIONS = catalog.DEGRADATION.metrics[0]


def _firing(text: str) -> tuple[Firing, ...]:
    return (
        Firing(
            {"service": "chat", "mode": "1"},
            text.replace("chat/1", "service chat, mode 1,"),
            "/d/genai-performance?var-service=chat&var-mode=1",
        ),
    )


def _scores(number: str, total: str, evaluator: str = "judge") -> dict[str, str]:
    return {
        series(_SCORES, "_count", evaluator=evaluator): number,
        series(_SCORES, "_sum", evaluator=evaluator): total,
    }


_SCORE = (
    # A mean of 0.875, from 40m on of 0.5: over 30 minutes it is 0.8 after a fifth of them.
    Case(
        "GenAILowQualityScore",
        "fires",
        _scores("0+2x400", "0+1.75x160 281+1x240"),
        before="55m45s",
        at="56m",
        firing=_firing("Answers of chat/1 scored 0.67 on average over the last 30 minutes (threshold: 0.80)."),
    ),
    Case("GenAILowQualityScore", "quiet", _scores("0+2x200", "0+1.61x200"), at="50m"),
    Case(
        "GenAILowQualityScore",
        "quiet",
        _scores("0+9x200", "0+8.1x200") | _scores("0+1x200", "0+0.2x200", "strict"),
        at="50m",
        note="for one of two evaluators, whose few scores are low",
    ),
    # 9 in 30 minutes.
    Case("GenAILowQualityScore", "low_traffic", _scores("0+0.075x200", "0+0.02x200"), at="50m"),
    Case("GenAILowQualityScore", "absent", {}, at="50m"),
    Case("GenAILowQualityScore", "absent", _scores("0+2x100", "0+1x100"), at="70m", note="after the end"),
    Case("GenAILowQualityScore", "reset", _scores("0+2x100 0+2x100", "0+1.7x100 0+1.7x100"), at="50m"),
)

# A week is 1008 steps of 10 minutes; nothing is scraped from the sixth hour to the end of it.
_NUMBER = "0+20x36 _x971 720+20x40"

_DROP = (
    # 0.9375, and 0.6875 from a week and 2 hours on: after 10 minutes half of the window is that low.
    Case(
        "GenAIQualityDrop",
        "fires",
        _scores(_NUMBER, "0+18.75x36 _x971 675+18.75x12 913.75+13.75x27"),
        interval="10m",
        before="7d2h30m",
        at="7d2h40m",
        firing=_firing(
            "Answers of chat/1 scored 0.25 lower over the last 30 minutes than at this hour last week "
            "(threshold: 0.10)."
        ),
    ),
    Case("GenAIQualityDrop", "quiet", _scores(_NUMBER, "0+18.75x36 _x971 675+16.9x40"), interval="10m", at="7d4h"),
    Case(
        "GenAIQualityDrop",
        "quiet",
        _scores(_NUMBER, "0+14x36 _x971 504+14x40"),
        interval="10m",
        at="7d4h",
        note="when that hour was no better",
    ),
    # 9 in 30 minutes: now; then at that hour of last week.
    Case(
        "GenAIQualityDrop",
        "low_traffic",
        _scores("0+20x36 _x971 720+3x40", "0+18.75x36 _x971 675+1.5x40"),
        interval="10m",
        at="7d4h",
    ),
    Case(
        "GenAIQualityDrop",
        "low_traffic",
        _scores("0+3x36 _x971 108+20x40", "0+3x36 _x971 108+10x40"),
        interval="10m",
        at="7d4h",
        note="a week ago",
    ),
    Case("GenAIQualityDrop", "absent", {}, at="50m"),
    Case("GenAIQualityDrop", "absent", _scores("0+20x36", "0+2x36"), interval="10m", at="5h", note="in the first week"),
    Case(
        "GenAIQualityDrop",
        "reset",
        _scores("0+20x36 _x971 720+20x12 0+20x27", "0+18.75x36 _x971 675+18.75x12 0+18.75x27"),
        interval="10m",
        at="7d2h40m",
    ),
)


def _rounds(at_most: dict[str, float], values: str = "0+Nx120") -> dict[str, str]:
    return histogram(_ROUNDS, at_most, values) | {series(_WORKFLOWS, "_count"): "0+10x120"}


_REFINEMENT = (
    Case(
        "GenAIHighRefinementRate",
        "fires",
        _rounds({"1.0": 4, "2.0": 8, "5.0": 10}),
        before="15m",
        at="15m15s",
        firing=_firing(
            "60% of the workflows of chat/1 needed more than one round over the last 15 minutes (threshold: 40%)."
        ),
    ),
    Case("GenAIHighRefinementRate", "quiet", _rounds({"1.0": 6.1, "5.0": 10}), at="25m"),
    # 9 in 15 minutes.
    Case("GenAIHighRefinementRate", "low_traffic", _rounds({"1.0": 0, "2.0": 0.15}), at="25m"),
    Case("GenAIHighRefinementRate", "absent", {}, at="25m"),
    Case(
        "GenAIHighRefinementRate",
        "absent",
        _rounds({"1.0": 4, "5.0": 10}, "0+Nx70"),
        at="40m",
        note="after the end",
    ),
    Case("GenAIHighRefinementRate", "reset", _rounds({"1.0": 6.1, "5.0": 10}, "0+Nx60 0+Nx60"), at="25m"),
)


def _first(accepted: str, rejected: str) -> dict[str, str]:
    return {
        series(_WORKFLOWS, "_count"): "0+10x120",
        series(_FIRST, accepted="true"): accepted,
        series(_FIRST, accepted="false"): rejected,
    }


_FIRST_PASS = (
    Case(
        "GenAILowFirstPassAcceptance",
        "fires",
        _first("0+5x120", "0+5x120"),
        before="15m",
        at="15m15s",
        firing=_firing("50% of the first answers of chat/1 were accepted over the last 15 minutes (threshold: 60%)."),
    ),
    Case(
        "GenAILowFirstPassAcceptance",
        "fires",
        {series(_WORKFLOWS, "_count"): "0+10x120", series(_FIRST, accepted="false"): "0+10x120"},
        at="25m",
        firing=_firing("0% of the first answers of chat/1 were accepted over the last 15 minutes (threshold: 60%)."),
        note="when none was ever accepted",
    ),
    Case("GenAILowFirstPassAcceptance", "quiet", _first("0+6.1x120", "0+3.9x120"), at="25m"),
    Case("GenAILowFirstPassAcceptance", "low_traffic", _first("0x120", "0+0.15x120"), at="25m"),
    Case("GenAILowFirstPassAcceptance", "absent", {}, at="25m"),
    Case("GenAILowFirstPassAcceptance", "absent", _first("0+1x70", "0+9x70"), at="40m", note="after the end"),
    Case("GenAILowFirstPassAcceptance", "reset", _first("0+6.1x60 0+6.1x60", "0+3.9x60 0+3.9x60"), at="25m"),
)


def _degraded(workflows: str, degradations: str) -> dict[str, str]:
    return {
        series(_WORKFLOWS, "_count"): workflows,
        series(_DEGRADATIONS, reason="smaller_model"): degradations,
        series(_DEGRADATIONS, reason="no_reranking"): degradations,
    }


_DEGRADATION = (
    Case(
        "GenAIHighDegradationRate",
        "fires",
        _degraded("0+10x80", "0+1.5x80"),
        before="10m15s",
        at="10m30s",
        firing=_firing(
            "There were 30% as many degradations as workflows of chat/1 over the last 5 minutes (threshold: 20%)."
        ),
    ),
    Case("GenAIHighDegradationRate", "quiet", _degraded("0+10x80", "0+0.95x80"), at="18m"),
    # 18 in 5 minutes.
    Case("GenAIHighDegradationRate", "low_traffic", _degraded("0+0.9x80", "0+0.45x80"), at="18m"),
    Case("GenAIHighDegradationRate", "absent", {}, at="18m"),
    Case(
        "GenAIHighDegradationRate",
        "absent",
        {series(_WORKFLOWS, "_count"): "0+10x80"},
        at="18m",
        note="of degradations",
    ),
    Case("GenAIHighDegradationRate", "reset", _degraded("0+10x40 0+10x40", "0+0.95x40 0+0.95x40"), at="18m"),
)

CASES = (*_SCORE, *_DROP, *_REFINEMENT, *_FIRST_PASS, *_DEGRADATION)
