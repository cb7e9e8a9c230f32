"""Thin instrumentation for LLM, RAG and agent workflows: ``from genai_metrics import track_llm_call``."""

from genai_metrics.runtime import configure, warm_up
from genai_metrics.tracking import llm_call_in_flight, track_llm_call, track_llm_fallback
from genai_metrics.webapps import asgi_app, wsgi_app

__all__ = [
    "asgi_app",
    "configure",
    "llm_call_in_flight",
    "track_llm_call",
    "track_llm_fallback",
    "warm_up",
    "wsgi_app",
]
