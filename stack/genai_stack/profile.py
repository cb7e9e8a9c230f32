"""What the demo's series look like, from a real run: ``python -m genai_stack.profile --prometheus URL``.

Writes ``history_profile.json``, of which ``genai_stack.history`` makes a week. To be run by whoever changes the demo or
the recording rules, after the demo has run for 20 minutes without faults, so that its caches are warm.
"""

import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import yaml

from genai_metrics import catalog
from genai_metrics.catalog import MetricSpec
from genai_metrics.catalog.sparse import SPARSE_PREFIX, sparse
from genai_stack import REPOSITORY
from genai_stack.children import OPENER
from genai_stack.demo import SERVICE
from genai_stack.history import PROFILE
from load_scenarios.traffic import HOUR_FACTORS

Series = list[tuple[dict[str, str], float]]

_WINDOW_MINUTES = 10
_WARM_MINUTES = 10

KINDS = (
    catalog.WORKFLOW,
    catalog.QUALITY,
    catalog.AGENT_RUN,
    catalog.CACHE,
    catalog.CACHE_LOOKUPS,
    catalog.TENANT,
    catalog.TENANT_REQUESTS,
    catalog.LLM_ERROR,
    catalog.WORKFLOW_ERROR,
    catalog.DEGRADATION,
    catalog.WARNING,
)
"""Counters that panels over days read as they are; of LLM calls they read the recorded sums."""

_MONEY = {
    "service": f"instance_service_mode_part:{catalog.LLM_COST.metrics[0].name}:sum",
    "service_tenant": next(metric.name for metric in catalog.TENANT.metrics if metric.name.endswith("_cost_usd_total")),
}
"""Counter of the money that recorded series add up, by their level: a day's sum says little after minutes."""

SUBJECTS = "service_mode:genai_threshold_subjects:zero"
"""A series for each service and mode."""

_FLOW = re.compile(r"(rate|increase)\d+[mhd]|today|projected_(day|month)|month_to_date")
_LEVEL = re.compile(r"(ratio|mean|p\d\d)(_rate\d+m)?")


def recorded() -> dict[str, str]:
    """Return the expressions of the recording rules whose series are about a service, by name; copies are left out."""
    # Thresholds are the same at any time, so they need no history.
    return {
        name: expression
        for name, expression in _rules().items()
        if "service" in name.partition(":")[0] and not name.endswith(":effective") and SPARSE_PREFIX not in name
    }


def copied(names: Iterable[str]) -> list[str]:
    """Return those of the counters that are recorded again every 20 minutes."""
    rules = _rules()
    return [name for name in names if sparse(name) in rules]


def _rules() -> dict[str, str]:
    rules: dict[str, str] = {}
    for path in sorted((REPOSITORY / "prometheus" / "rules").glob("recording*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            rules |= {rule["record"]: rule["expr"] for rule in group["rules"]}
    return rules


def over_window(name: str, rules: Mapping[str, str]) -> str:
    """Return what a rule computes, of counters and over the profile's window instead of its own.

    Means of what it has recorded would lag behind the counters, and the history would contradict itself.
    """
    names = re.compile(
        "|".join(rf"(?<![\w:]){re.escape(each)}(?![\w:])" for each in rules if not each.endswith(":sum"))
    )
    expression = rules[name]
    while (inlined := names.sub(lambda found: f"({rules[found[0]]})", expression)) != expression:
        expression = inlined
    return re.sub(r"\[\d+[mhd]\]", f"[{_WINDOW_MINUTES}m]", expression)


def raw_names() -> list[str]:
    """Return the names of the applications' own series that the history has."""
    return [name for kind in KINDS for metric in kind.metrics for name in _series_names(metric)]


def _series_names(metric: MetricSpec) -> list[str]:
    if metric.type == "histogram":
        return [f"{metric.name}{suffix}" for suffix in ("_bucket", "_sum", "_count")]
    return [metric.name] if metric.type == "counter" else []


class _Prometheus:
    """Where the demo runs."""

    def __init__(self, url: str, now: float) -> None:
        self._url = url.rstrip("/")
        self._now = now

    def ask(self, expression: str) -> Series:
        """Return what an expression yields, without the labels that differ from run to run."""
        query = urllib.parse.urlencode({"query": expression, "time": self._now})
        with OPENER.open(f"{self._url}/api/v1/query?{query}", timeout=60) as response:
            result = json.load(response)["data"]["result"]
        left_out = ("__name__", "instance")
        return [
            ({name: text for name, text in found["metric"].items() if name not in left_out}, float(found["value"][1]))
            for found in result
            if found["metric"].get("service", SERVICE) == SERVICE
        ]


def profile(url: str, now: datetime) -> dict[str, dict[str, Series]]:
    """Return what the series did in the ten minutes before ``now``, for the mean of the day."""
    prometheus = _Prometheus(url, now.timestamp())
    since = prometheus.ask('time() - min_over_time(timestamp(up{job="genai-exporter"})[1d:1m])')
    if not since or since[0][1] < 60 * (_WARM_MINUTES + _WINDOW_MINUTES):
        raise click.ClickException(f"the demo must have run for {_WARM_MINUTES + _WINDOW_MINUTES} minutes")
    minutes = [datetime.fromtimestamp(now.timestamp() - 60 * back, UTC) for back in range(_WINDOW_MINUTES)]
    load = sum(HOUR_FACTORS[minute.hour] for minute in minutes) / len(minutes)
    chosen = f'{{service="{SERVICE}"}}'
    found: dict[str, dict[str, Series]] = {"counters": {}, "flows": {}, "levels": {}}
    rules = recorded()
    for name in [*raw_names(), *(name for name in rules if name.endswith(":sum"))]:
        rates = prometheus.ask(f"rate({name}{chosen}[{_WINDOW_MINUTES}m]) / {load}")
        # What has not risen says nothing.
        found["counters"][name] = [each for each in rates if each[1]]
    for name in rules:
        level, _, operation = name.split(":")
        if _LEVEL.fullmatch(operation):
            found["levels"][name] = prometheus.ask(over_window(name, rules))
        elif _FLOW.fullmatch(operation):
            if "_cost_usd" in name and level in _MONEY:
                found["flows"][name] = _summed(found["counters"][_MONEY[level]], level.split("_"))
            elif "increase" not in operation:
                found["flows"][name] = prometheus.ask(f"({over_window(name, rules)}) / {load}")
    # Since when there are copies; by this dashboards choose.
    found["levels"][sparse(SUBJECTS)] = prometheus.ask(SUBJECTS)
    return {
        kind: {
            name: sorted(series, key=lambda each: sorted(each[0].items())) for name, series in names.items() if series
        }
        for kind, names in found.items()
    }


def _summed(series: Series, by: Sequence[str]) -> Series:
    """Return the sums of series that agree in some labels."""
    sums: dict[tuple[str, ...], float] = {}
    for labels, value in series:
        key = tuple(labels[name] for name in by)
        sums[key] = sums.get(key, 0.0) + value
    return [(dict(zip(by, key, strict=True)), value) for key, value in sums.items()]


def _text(profiled: dict[str, dict[str, Series]]) -> str:
    """Return JSON with a line for each series, so that changes can be read, and the names of the copies."""
    kinds = [f' "copies": {json.dumps(copied(profiled["counters"]))}']
    for kind, names in profiled.items():
        families = []
        for name, series in names.items():
            lines = ",\n".join(f"   {json.dumps([labels, float(f'{value:.4g}')])}" for labels, value in series)
            families.append(f'  "{name}": [\n{lines}\n  ]')
        kinds.append(f' "{kind}": {{\n' + ",\n".join(families) + "\n }")
    return "{\n" + ",\n".join(kinds) + "\n}\n"


@click.command()
@click.option("--prometheus", "url", required=True, metavar="URL", help="Of a demo that has run for 20 minutes.")
@click.option("--to", "path", type=click.Path(dir_okay=False, path_type=Path), default=PROFILE, help="File to write.")
def main(url: str, path: Path) -> None:
    """Write down what the demo's series look like."""
    profiled = profile(url, datetime.now(UTC))
    path.write_text(_text(profiled))
    click.echo(f"{path}: " + ", ".join(f"{sum(map(len, names.values()))} {kind}" for kind, names in profiled.items()))


if __name__ == "__main__":
    main()
