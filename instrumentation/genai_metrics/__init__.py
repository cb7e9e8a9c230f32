"""Thin instrumentation for LLM, RAG and agent workflows: ``from genai_metrics import track_llm_call``."""
