"""Thin instrumentation for LLM, RAG and agent workflows: ``from genai_metrics import track_llm_call``."""

from genai_metrics.caches import track_cache
from genai_metrics.llm import llm_call
from genai_metrics.local import export_json, health, print_report, report, reset, snapshot
from genai_metrics.monitored import monitored
from genai_metrics.quality import track_degradation, track_feedback, track_quality, track_warning
from genai_metrics.questions import normalize_question
from genai_metrics.resources import track_dependency, track_pool, track_queue
from genai_metrics.runtime import configure, warm_up
from genai_metrics.stages import operation, retrieval, tool_call
from genai_metrics.tracking import llm_call_in_flight, track_llm_call, track_llm_fallback
from genai_metrics.webapps import asgi_app, wsgi_app
from genai_metrics.workflows import current_run, workflow

__all__ = [
    "asgi_app",
    "configure",
    "current_run",
    "export_json",
    "health",
    "llm_call",
    "llm_call_in_flight",
    "monitored",
    "normalize_question",
    "operation",
    "print_report",
    "report",
    "reset",
    "retrieval",
    "snapshot",
    "tool_call",
    "track_cache",
    "track_degradation",
    "track_dependency",
    "track_feedback",
    "track_llm_call",
    "track_llm_fallback",
    "track_pool",
    "track_quality",
    "track_queue",
    "track_warning",
    "warm_up",
    "workflow",
    "wsgi_app",
]
