"""Every metric, label set, bucket list and cardinality cap: the only place where a name is spelled.

Pure data; imports the standard library only.
"""

from genai_metrics.catalog.llm import (
    CALL_SECONDS,
    FIRST_TOKEN_SECONDS,
    LLM_CALL,
    LLM_COST,
    LLM_ERROR,
    LLM_ESTIMATED,
    LLM_FALLBACK,
    LLM_IN_FLIGHT,
    LLM_RETRY,
    LLM_STREAM,
    LLM_UNPRICED,
    OUTPUT_TOKEN_SECONDS,
    TENANT,
    TENANT_REQUESTS,
)
from genai_metrics.catalog.model import OVERFLOW, SERVICE_LABEL, BlockKind, Merge, MetricSpec, MetricType
from genai_metrics.catalog.own import EXPORTER_METRICS, FAULT_REASONS, LABEL_OVERFLOW, RECORDER_FAULT

BLOCK_KINDS = (
    LLM_CALL,
    LLM_STREAM,
    LLM_COST,
    LLM_ERROR,
    LLM_RETRY,
    LLM_FALLBACK,
    LLM_IN_FLIGHT,
    LLM_UNPRICED,
    LLM_ESTIMATED,
    TENANT_REQUESTS,
    TENANT,
    LABEL_OVERFLOW,
    RECORDER_FAULT,
)
"""Every kind of block that an application records."""

DEFAULT_LABEL_CAPS = {
    "mode": 50,
    "provider": 50,
    "model": 200,
    "operation": 100,
    "outcome": 10,
    "error_type": 100,
    "reason": 100,
    "from_model": 200,
    "to_model": 200,
    "tenant": 1000,
    "label": 50,
}
"""Largest number of distinct values a label may take in one service; later values become ``__other__``."""

__all__ = [
    "BLOCK_KINDS",
    "CALL_SECONDS",
    "DEFAULT_LABEL_CAPS",
    "EXPORTER_METRICS",
    "FAULT_REASONS",
    "FIRST_TOKEN_SECONDS",
    "LABEL_OVERFLOW",
    "LLM_CALL",
    "LLM_COST",
    "LLM_ERROR",
    "LLM_ESTIMATED",
    "LLM_FALLBACK",
    "LLM_IN_FLIGHT",
    "LLM_RETRY",
    "LLM_STREAM",
    "LLM_UNPRICED",
    "OUTPUT_TOKEN_SECONDS",
    "OVERFLOW",
    "RECORDER_FAULT",
    "SERVICE_LABEL",
    "TENANT",
    "TENANT_REQUESTS",
    "BlockKind",
    "Merge",
    "MetricSpec",
    "MetricType",
]
