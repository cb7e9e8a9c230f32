"""Metrics that the recorder and the exporter keep of themselves."""

from genai_metrics.catalog.model import OVERFLOW, BlockKind, MetricSpec

LABEL_OVERFLOW = BlockKind(
    "label_overflow",
    (
        MetricSpec(
            "genai_label_overflow_total",
            "counter",
            f"Records whose label value came after the label's cap and was replaced by {OVERFLOW}.",
            ("label",),
        ),
    ),
)

RECORDER_FAULT = BlockKind(
    "recorder_fault",
    (
        MetricSpec(
            "genai_recorder_faults_total",
            "counter",
            "Records that were wrong or could not be kept as given, by reason.",
            ("reason",),
        ),
    ),
)

EXPORTER_METRICS = (
    MetricSpec("genai_build_info", "gauge", "Version of the exporter; always 1.", ("version", "python")),
    MetricSpec(
        "genai_exporter_collector_duration_seconds", "gauge", "Duration of a collector's last run.", ("collector",)
    ),
    MetricSpec(
        "genai_exporter_collector_success", "gauge", "1 if a collector's last run succeeded, else 0.", ("collector",)
    ),
    MetricSpec("genai_exporter_series", "gauge", "Application series in the last scrape."),
    MetricSpec(
        "genai_exporter_files",
        "gauge",
        "Files in the metrics directory: of living processes (live), of ended ones not yet folded (dead), refused "
        "because they cannot be read (rejected) or read in part because they hold unknown blocks (partial); and those "
        "folded into the archive since it was made (folded).",
        ("state",),
    ),
    MetricSpec("genai_processes", "gauge", "Living processes that record metrics.", ("service",)),
    MetricSpec(
        "genai_process_start_time_seconds",
        "gauge",
        "Unix time at which the oldest living process of the service began to record; absent while none lives.",
        ("service",),
    ),
    MetricSpec(
        "genai_exporter_merged_label_values",
        "gauge",
        f"Distinct label values that the exporter counts under {OVERFLOW}: each process kept to the label's cap, all "
        "processes of the service together did not.",
        ("service", "label"),
    ),
    MetricSpec(
        "genai_price_data_age_seconds",
        "gauge",
        "Age of the price table: time since the installed genai-prices release was unpacked.",
    ),
    MetricSpec(
        "genai_exporter_config_last_reload_successful",
        "gauge",
        "1 if the last attempt to read the configuration succeeded, else 0: then the one before is still in force.",
    ),
    MetricSpec(
        "genai_exporter_config_last_reload_success_timestamp_seconds",
        "gauge",
        "Unix time at which the configuration was last read with success; the start counts.",
    ),
)
"""What the exporter says of itself; rendered by prometheus_client."""

FAULT_REASONS = (
    "bad_label",  # a label value that is not text, or that had to be shortened or cleaned
    "bad_number",  # not a number, negative, NaN, infinite or absurdly large; the number was left out
    "bad_flag",  # neither true nor false; taken for false
    "inconsistent_tokens",  # cached and cache-write tokens exceed the input, or reasoning tokens the output
    "inconsistent_times",  # the first token came after the end of the call
    "incomplete_rates",  # one of two per-1k rates given although both kinds of tokens were used
    "price_file",  # the user's price file cannot be used
    "price_data",  # genai-prices is missing or failed
    "otel_metrics",  # an OpenTelemetry metric that cannot be shown, or not in full
    "tenant_hash_key",  # the file with the key for tenants cannot be used: all are recorded as __unhashed__
    "storage",  # no space or no file: recorded in private memory, which the exporter does not see
    "internal",  # an exception inside the recorder
)
"""Every value of ``genai_recorder_faults_total{reason}``."""
