"""Alerts on the monitoring itself."""

from alert_cases import Case, Firing, Kind, series
from genai_metrics import catalog

_OVERFLOW = catalog.LABEL_OVERFLOW.metrics[0]
_FAULTS = catalog.RECORDER_FAULT.metrics[0]
_PAGE = "/d/genai-health"
_WHERE = 'job="genai-exporter",instance="a:9840"'
_UP = {f"up{{{_WHERE}}}": "1x200"}


def _own(suffix: str, labels: str = "") -> str:
    """Return a series of the exporter's own, called as the catalogue calls it."""
    (metric,) = (metric for metric in catalog.EXPORTER_METRICS if metric.name.endswith(suffix))
    return f"{metric.name}{{{_WHERE}{labels}}}"


def _firing(description: str, **labels: str) -> tuple[Firing, ...]:
    return (Firing({"job": "genai-exporter", "instance": "a:9840", **labels}, description, _PAGE),)


_ALWAYS = (Firing({}, "This alert always fires. If it stops arriving, no other alert will arrive either.", _PAGE),)
_KINDS: tuple[Kind, ...] = ("fires", "quiet", "low_traffic", "absent", "reset")
# There is nothing that keeps it quiet: that is what it is for.
_WATCHDOG = tuple(Case("Watchdog", kind, _UP if kind == "quiet" else {}, at="15s", firing=_ALWAYS) for kind in _KINDS)

_DOWN = _firing("Prometheus cannot scrape a:9840. Metrics of its services stand still, and alerts on them cannot fire.")
_TARGETS = (
    Case(
        "GenAITargetDown",
        "fires",
        {f"up{{{_WHERE}}}": "1x19 0x60", 'up{job="prometheus",instance="b"}': "0x80"},
        before="6m45s",
        at="7m",
        firing=_DOWN,
    ),
    Case(
        "GenAITargetDown",
        "fires",
        {'up{job="blackbox",instance="redis:6379"}': "0x80"},
        before="1m45s",
        at="2m",
        firing=(
            Firing(
                {"job": "blackbox", "instance": "redis:6379"},
                "The blackbox exporter cannot be asked about redis:6379, so no probe tells whether it is up.",
                _PAGE,
            ),
        ),
        note="for a probe that cannot be made",
    ),
    # A restart: three scrapes.
    Case("GenAITargetDown", "quiet", {f"up{{{_WHERE}}}": "1x19 0x3 1x60"}, at="7m"),
    Case("GenAITargetDown", "low_traffic", _UP, at="10m"),
    Case("GenAITargetDown", "absent", {}, at="10m"),
    Case("GenAITargetDown", "reset", {f"up{{{_WHERE}}}": "0x4 1x80"}, at="10m"),
    Case(
        "GenAITargetMissing",
        "fires",
        {'up{job="prometheus",instance="b"}': "1x80"},
        before="4m45s",
        at="5m",
        firing=(
            Firing(
                {},
                "There is no target of the jobs genai-exporter and applications, so nothing is monitored.",
                _PAGE,
            ),
        ),
    ),
    Case("GenAITargetMissing", "quiet", {'up{job="applications",instance="b"}': "1x80"}, at="10m"),
    Case("GenAITargetMissing", "low_traffic", {f"up{{{_WHERE}}}": "0x80"}, at="10m"),
    # 2 minutes without the target file.
    Case("GenAITargetMissing", "reset", {f"up{{{_WHERE}}}": "1x20 _x40 1x40"}, at="13m"),
    Case("GenAITargetMissing", "absent", {f"up{{{_WHERE}}}": "1x20"}, at="9m", note="while the last value is known"),
)

_SUCCESS = _own("collector_success", ',collector="gpu"')
_FILES = _own("exporter_files", ',state="rejected"')
_LIVE = _own("exporter_files", ',state="live"')
_EXPORTER = (
    Case(
        "GenAICollectorFailing",
        "fires",
        {_SUCCESS: "0x80"},
        before="4m45s",
        at="5m",
        firing=_firing(
            "Collector gpu of a:9840 fails; its metrics are absent. The exporter's page and log say why.",
            collector="gpu",
        ),
    ),
    Case("GenAICollectorFailing", "quiet", {_SUCCESS: "0x18 1x60"}, at="5m"),
    Case("GenAICollectorFailing", "low_traffic", {_SUCCESS: "1x80"}, at="10m"),
    Case("GenAICollectorFailing", "absent", {}, at="10m"),
    Case("GenAICollectorFailing", "reset", {_SUCCESS: "0x10 _x25 0x10"}, at="9m"),
    Case(
        "GenAIFilesRejected",
        "fires",
        {_FILES: "2x80", _LIVE: "9x80"},
        before="4m45s",
        at="5m",
        firing=_firing("2 files in the metrics directory of a:9840 are rejected.", state="rejected"),
    ),
    Case("GenAIFilesRejected", "quiet", {_FILES: "2x18 0x60", _LIVE: "9x80"}, at="5m"),
    Case("GenAIFilesRejected", "low_traffic", {_FILES: "0x80", _LIVE: "0x80"}, at="10m"),
    Case("GenAIFilesRejected", "absent", {}, at="10m"),
    Case("GenAIFilesRejected", "reset", {_FILES: "2x10 0x5 2x10"}, at="6m"),
)

_FULL = series(_OVERFLOW, label="tenant")
_FAULT = series(_FAULTS, reason="bad_number")
_RECORDERS = (
    Case(
        "GenAILabelOverflow",
        "fires",
        {_FULL: "0+1x80", series(_OVERFLOW, label="model"): "4x80"},
        before="5m",
        at="5m30s",
        firing=(
            Firing(
                {"instance": "a", "service": "chat", "label": "tenant"},
                "Values of label tenant of service chat are counted under __other__ because its cap is reached.",
                _PAGE,
            ),
        ),
    ),
    Case("GenAILabelOverflow", "quiet", {_FULL: "4x80"}, at="18m"),
    Case("GenAILabelOverflow", "low_traffic", {_FULL: "0x80"}, at="18m"),
    Case("GenAILabelOverflow", "absent", {}, at="18m"),
    Case("GenAILabelOverflow", "reset", {_FULL: "4x40 0x40"}, at="18m"),
    Case(
        "GenAIRecorderFaults",
        "fires",
        {_FAULT: "0x10 3x70"},
        before="7m30s",
        at="8m",
        firing=(
            Firing(
                {"service": "chat", "reason": "bad_number"},
                "Service chat had 3 faults of kind bad_number over the last 15 minutes. Its log says the first "
                "of them.",
                _PAGE,
            ),
        ),
    ),
    Case("GenAIRecorderFaults", "quiet", {_FAULT: "4x80"}, at="18m"),
    # A quarter of an hour after the last one it is over.
    Case("GenAIRecorderFaults", "low_traffic", {_FAULT: "0x10 1x80"}, at="19m"),
    Case("GenAIRecorderFaults", "absent", {}, at="18m"),
    Case("GenAIRecorderFaults", "reset", {_FAULT: "4x40 0x40"}, at="18m"),
)

_TOOK = f"scrape_duration_seconds{{{_WHERE}}}"


def _samples(scraped: str, limit: str = "1000x80") -> dict[str, str]:
    return {f"scrape_samples_scraped{{{_WHERE}}}": scraped, f"scrape_sample_limit{{{_WHERE}}}": limit}


_RELOADED = _own("reload_successful")
_SCRAPES = (
    Case(
        "GenAIScrapeSlow",
        "fires",
        _UP | {_TOOK: "7x80"},
        before="4m45s",
        at="5m15s",
        firing=_firing("Scraping a:9840 takes 7s (threshold: 5s)."),
    ),
    Case("GenAIScrapeSlow", "quiet", _UP | {_TOOK: "5x80"}, at="10m"),
    Case("GenAIScrapeSlow", "low_traffic", _UP | {_TOOK: "0.01x80"}, at="10m"),
    Case("GenAIScrapeSlow", "absent", _UP, at="10m"),
    Case("GenAIScrapeSlow", "reset", _UP | {_TOOK: "7x10 0.1x5 7x10"}, at="6m"),
    Case(
        "GenAISampleLimitNear",
        "fires",
        _samples("850x80"),
        before="14m45s",
        at="15m",
        firing=_firing("a:9840 of job genai-exporter uses 85% of its sample limit; above it all of its scrapes fail."),
    ),
    Case("GenAISampleLimitNear", "quiet", _samples("800x80"), at="18m"),
    Case("GenAISampleLimitNear", "low_traffic", _samples("0x80"), at="18m"),
    # 0 is Prometheus's way to say: no limit.
    Case("GenAISampleLimitNear", "absent", _samples("850x80", "0x80"), at="18m", note="without a limit"),
    Case("GenAISampleLimitNear", "reset", _samples("850x40 100x40"), at="18m"),
    Case(
        "GenAIConfigReloadFailed",
        "fires",
        {_RELOADED: "1x4 0x80"},
        before="6m",
        at="6m15s",
        firing=_firing(
            "a:9840 of job genai-exporter runs with its old configuration, because the new one is wrong. Its log "
            "says where."
        ),
    ),
    Case("GenAIConfigReloadFailed", "quiet", {_RELOADED: "0x18 1x60"}, at="5m"),
    Case("GenAIConfigReloadFailed", "low_traffic", {_RELOADED: "1x80"}, at="10m"),
    Case("GenAIConfigReloadFailed", "absent", {}, at="10m"),
    Case("GenAIConfigReloadFailed", "reset", {_RELOADED: "0x10 1x70"}, at="10m"),
)


def _server(alert: str, name: str, labels: dict[str, str], firing: tuple[Firing, ...]) -> tuple[Case, ...]:
    """Return the cases of an alert on a counter that should stand still."""
    counter = name + "{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}"
    return (
        Case(alert, "fires", {counter: "0+1x80"}, before="5m", at="7m", firing=firing),
        Case(alert, "quiet", {counter: "9x80"}, at="12m"),
        # One failure is no series of failures: the window has passed when `for` has.
        Case(alert, "low_traffic", {counter: "0x10 1x70"}, at="9m"),
        Case(alert, "absent", {}, at="12m"),
        Case(alert, "reset", {counter: "9x20 0x60"}, at="10m"),
    )


_PROMETHEUS = {"job": "prometheus", "instance": "p:9090"}
_ALERTMANAGER = {"job": "alertmanager", "instance": "am:9093", "integration": "slack"}
_SERVERS = (
    *_server(
        "PrometheusRuleFailures",
        "prometheus_rule_evaluation_failures_total",
        _PROMETHEUS | {"rule_group": "g"},
        (
            Firing(
                _PROMETHEUS | {"rule_group": "g"},
                "20 evaluations of rule group g of p:9090 failed over the last 5 minutes.",
                _PAGE,
            ),
        ),
    ),
    *_server(
        "PrometheusNotificationsFailing",
        "prometheus_notifications_errors_total",
        _PROMETHEUS | {"alertmanager": "http://am:9093"},
        (
            Firing(
                _PROMETHEUS | {"alertmanager": "http://am:9093"},
                "p:9090 failed to send 20 alerts to Alertmanager (http://am:9093) over the last 5 minutes.",
                _PAGE,
            ),
        ),
    ),
    *_server(
        "AlertmanagerNotificationsFailing",
        "alertmanager_notifications_failed_total",
        _ALERTMANAGER | {"reason": "clientError"},
        (
            Firing(
                _ALERTMANAGER,
                "Alertmanager am:9093 failed to deliver 20 notifications through slack over the last 5 minutes.",
                _PAGE,
            ),
        ),
    ),
)

CASES = (*_WATCHDOG, *_TARGETS, *_EXPORTER, *_RECORDERS, *_SCRAPES, *_SERVERS)
