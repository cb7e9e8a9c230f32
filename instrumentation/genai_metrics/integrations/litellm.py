"""LiteLLM: ``litellm.callbacks.append(GenAIMetricsLogger())``, for the library and its router and proxy.

Needs litellm.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger

from genai_metrics import runtime
from genai_metrics.context import current
from genai_metrics.integrations.naming import provider_name
from genai_metrics.labels import UNKNOWN
from genai_metrics.llm import error_type
from genai_metrics.tracking import track_llm_call, track_llm_fallback
from genai_metrics.usage import Usage, parsed

OPERATIONS = {
    "completion": "chat",
    "responses": "chat",
    "anthropic_messages": "chat",
    "generate_content": "generate_content",
    "generate_content_stream": "generate_content",
    "text_completion": "text_completion",
    "embedding": "embeddings",
}
"""OpenTelemetry's operation by LiteLLM's type of call, without the ``a`` of the async ones; others keep their name."""

_MOST_OPEN = 10_000


class _Begun:
    """What was around a call when it began, and how often it was sent."""

    __slots__ = ("attempts", "mode", "retried", "tenant")

    def __init__(self, mode: str, tenant: str | None, retried: bool) -> None:
        self.mode = mode
        self.tenant = tenant
        self.retried = retried
        self.attempts = 0


class GenAIMetricsLogger(CustomLogger):
    """Records each call that LiteLLM tells of: sync, async and streamed; retries; the router's fallbacks.

    Mode and tenant are those of the workflow around the call. Where LiteLLM leaves that context (the synchronous
    router; answers from its cache to synchronous calls), say them: ``metadata={"genai_mode": …, "genai_tenant": …}``,
    which wins anywhere.

    Cost: the price table of this package first; LiteLLM's own cost of a call where that has no price for the model. An
    answer from LiteLLM's cache counts as cached. Each attempt of the router is a call. LiteLLM tells nothing of a
    stream that is not read to its end, so it is not recorded, nor of the retries that a provider's client makes.
    Never raises. Thread-safe.
    """

    def __init__(self) -> None:
        super().__init__()
        # Without a lock, which a forked child could inherit locked: each access is one step.
        self._begun: dict[str, _Begun] = {}

    def uninstall(self) -> None:
        """Take this logger out of LiteLLM's lists of callbacks."""
        for name, callbacks in vars(litellm).items():
            if name.endswith(("callback", "callbacks")) and isinstance(callbacks, list):
                callbacks[:] = [callback for callback in callbacks if callback is not self]

    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
        """Remember the context of a call; LiteLLM may tell of its end in another."""
        try:
            call_id = kwargs["litellm_call_id"]
            begun = self._begun.get(call_id)
            if begun is None:
                if len(self._begun) >= _MOST_OPEN:  # calls whose end LiteLLM does not tell
                    self._begun.pop(next(iter(self._begun)), None)
                around = current.get()
                retried = bool(_metadata(kwargs).get("attempted_retries"))
                begun = self._begun[call_id] = _Begun(around.mode, around.tenant, retried)
            begun.attempts += 1
        except Exception as error:
            runtime.internal_fault(error)

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Record a call that has succeeded."""
        self._record(kwargs, start_time, end_time, None)

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Record a call that has failed."""
        self._record(kwargs, start_time, end_time, "failure")

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Record an async call that has succeeded."""
        self._record(kwargs, start_time, end_time, None)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Record an async call that has failed."""
        self._record(kwargs, start_time, end_time, "failure")

    async def log_success_fallback_event(
        self, original_model_group: str, kwargs: dict[str, Any], original_exception: Exception
    ) -> None:
        """Record that the router moved a call to another model, which answered."""
        _record_fallback(original_model_group, kwargs, original_exception)

    async def log_failure_fallback_event(
        self, original_model_group: str, kwargs: dict[str, Any], original_exception: Exception
    ) -> None:
        """Record that the router moved a call to another model, which failed too."""
        _record_fallback(original_model_group, kwargs, original_exception)

    def _record(self, kwargs: Mapping[str, Any], start: Any, end: Any, failure: str | None) -> None:
        try:
            told = kwargs.get("standard_logging_object") or {}
            given = _metadata(kwargs)
            begun = self._begun.pop(str(kwargs.get("litellm_call_id")), None)
            if failure is not None and (error := kwargs.get("exception")) is not None:
                failure = error_type(error)
            _track(
                kwargs,
                told,
                failure,
                seconds=_seconds(start, end),
                mode=given.get("genai_mode") or (begun.mode if begun else None),
                tenant=given.get("genai_tenant") or (begun.tenant if begun else None),
                retries=begun.attempts - 1 + begun.retried if begun and begun.attempts else 0,
            )
        except Exception as error:
            runtime.internal_fault(error)


def _track(
    kwargs: Mapping[str, Any],
    told: Mapping[str, Any],
    failure: str | None,
    *,
    seconds: float | None,
    mode: str | None,
    tenant: str | None,
    retries: int,
) -> None:
    """Record one call from what LiteLLM tells: its arguments, and its standard summary unless that failed."""
    host = told.get("custom_llm_provider") or kwargs.get("custom_llm_provider") or ""
    provider = provider_name(host)
    model = str(told.get("model") or kwargs.get("model") or UNKNOWN).removeprefix(f"{host}/")
    cached = bool(told.get("cache_hit"))
    first = None
    if told.get("stream") and not cached and failure is None:
        first = _seconds(told.get("startTime"), told.get("completionStartTime"))
    usage = parsed((told.get("metadata") or {}).get("usage_object") or {})
    if usage is None:
        usage = Usage(told.get("prompt_tokens") or 0, told.get("completion_tokens") or 0)
    cost = told.get("saved_cache_cost" if cached else "response_cost")
    track_llm_call(
        mode=mode,
        model=model,
        provider=provider,
        operation=_operation(told.get("call_type") or kwargs.get("call_type")),
        tenant=tenant,
        input_tokens=usage.input,
        output_tokens=usage.output,
        cached=cached,
        duration=seconds,
        time_to_first_token=first,
        cached_input_tokens=usage.cached_input,
        cache_write_tokens=usage.cache_write,
        reasoning_tokens=usage.reasoning,
        error_type=failure,
        # 0 is what LiteLLM says of a model that it has no price for.
        cost_usd=cost if cost and not _has_price(provider, model) else None,
        retries=retries,
    )


def _has_price(provider: str, model: str) -> bool:
    return runtime.recorder().settings.pricing and runtime.price_of(provider, model)[0] is not None


def _record_fallback(from_model: str, kwargs: Mapping[str, Any], error: BaseException) -> None:
    track_llm_fallback(from_model=from_model, to_model=kwargs.get("model", UNKNOWN), reason=error_type(error))


def _metadata(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metadata that the caller has given with a call."""
    return (kwargs.get("litellm_params") or {}).get("metadata") or {}


def _operation(call_type: Any) -> str:
    name = str(call_type or "completion")
    return OPERATIONS.get(name) or OPERATIONS.get(name.removeprefix("a"), name)


def _seconds(start: Any, end: Any) -> float | None:
    """Return the time between two times, as LiteLLM gives them: ``datetime`` or seconds."""
    if start is None or end is None:
        return None
    passed = end - start
    return max(passed.total_seconds() if isinstance(start, datetime) else float(passed), 0.0)
