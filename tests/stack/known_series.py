"""Every series that rules, panels and runbooks may name, with its labels."""

from functools import cache
from graphlib import TopologicalSorter
from types import MappingProxyType

from rule_files import RULES, Rule
from rule_labels import WrongLabelsError, result_labels, series_labels

from genai_metrics import catalog
from genai_rules.thresholds import LEVELS

# A target file may say which service a target is about.
_TARGET = {"job", "instance", "service"}
# Series that Prometheus adds to every scrape, and those that others expose, with the labels that are relied upon.
FOREIGN = {
    **dict.fromkeys(("up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_sample_limit"), _TARGET),
    "probe_success": _TARGET,
    "prometheus_config_last_reload_successful": _TARGET,
    "prometheus_rule_evaluation_failures_total": _TARGET | {"rule_group"},
    "prometheus_notifications_errors_total": _TARGET | {"alertmanager"},
    "prometheus_notifications_dropped_total": _TARGET,
    "alertmanager_config_last_reload_successful": _TARGET,
    "alertmanager_notifications_failed_total": _TARGET | {"integration", "reason"},
}
# Thresholds may be set for more labels than those that are shipped; budgets of tenants are for users to set.
SETTABLE = {
    **{f"genai:threshold:{name}": {*level.labels, "severity"} for level in LEVELS for name in level.thresholds},
    "genai:budget:daily_usd": {"service", "tenant"},
}


@cache
def known_series() -> MappingProxyType[str, frozenset[str]]:
    """Labels of every series: of the catalogue, of others, and recorded, each derived from what it is recorded from."""
    known = {name: frozenset(labels) for name, labels in (FOREIGN | SETTABLE).items()}
    for metric in (metric for kind in catalog.BLOCK_KINDS for metric in kind.metrics):
        known |= series_labels(metric, application=True)
    # EXPORTER_METRICS and such.
    for metrics in (value for name, value in vars(catalog).items() if name.endswith("_METRICS")):
        for metric in metrics:
            known |= series_labels(metric, application=False)
    recording: dict[str, list[Rule]] = {}
    for rule in RULES:
        if not rule.is_alert and rule.name not in known:
            recording.setdefault(rule.name, []).append(rule)
    reads = {
        name: {read for rule in rules for read in rule.reads} & set(recording) for name, rules in recording.items()
    }
    for name in TopologicalSorter(reads).static_order():
        try:
            found = [labels_of(rule, MappingProxyType(known)) for rule in recording[name]]
        except WrongLabelsError:  # the test of that rule tells; what reads it is judged by what its name promises
            found = [frozenset(name.partition(":")[0].split("_"))]
        known[name] = frozenset().union(*found)
    return MappingProxyType(known)


def labels_of(rule: Rule, known: MappingProxyType[str, frozenset[str]]) -> frozenset[str]:
    """Labels that what the rule records, or alerts about, can have; says which rule when one is wrong."""
    try:
        return (result_labels(rule.content["expr"], known) or frozenset()) | set(rule.content.get("labels", {}))
    except WrongLabelsError as error:
        raise WrongLabelsError(f"{rule.file.name}, {rule.name}: {error}") from error
