"""Rules whose expressions follow one pattern: writes ``effective.yml`` and ``otel.yml`` in ``prometheus/rules``.

For development only. Metric names come from ``genai_metrics.catalog``; the numbers are in
``prometheus/rules/thresholds.yml``.
"""
