"""Replays LLM workloads through ``genai_metrics.track_llm_call`` in several processes."""
