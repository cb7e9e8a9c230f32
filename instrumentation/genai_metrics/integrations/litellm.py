"""LiteLLM: ``litellm.callbacks.append(GenAIMetricsLogger())``, for the library and its router and proxy.

Needs litellm.
"""

from collections.abc import Mapping
from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger

from genai_metrics import runtime
from genai_metrics.integrations.litellm_calls import (
    KEY,
    Call,
    call_of,
    host_of,
    metadata_of,
    model_of,
    operation_of,
    seconds_between,
)
from genai_metrics.integrations.naming import provider_name
from genai_metrics.labels import UNKNOWN
from genai_metrics.llm import error_type
from genai_metrics.tracking import track_llm_call, track_llm_fallback
from genai_metrics.usage import Usage, parsed


class GenAIMetricsLogger(CustomLogger):
    """Records each call that LiteLLM tells of: sync, async and streamed; retries; the router's fallbacks.

    Mode and tenant are those of the workflow around the call. Where LiteLLM leaves that context (the synchronous
    router; answers from its cache to synchronous calls), say them: ``metadata={"genai_mode": …, "genai_tenant": …}``,
    which wins anywhere.

    Cost: the price table of this package first; LiteLLM's own cost of a call where that has no price for the model. An
    answer from LiteLLM's cache counts as cached. Each attempt of the router is a call. LiteLLM tells nothing of the
    retries that a provider's client makes, nor of a stream that is not read to its end: that one is recorded when the
    garbage collector comes for it, and counts as in flight until then. Never raises. Thread-safe.
    """

    def uninstall(self) -> None:
        """Take this logger out of LiteLLM's lists of callbacks."""
        for name, callbacks in vars(litellm).items():
            if name.endswith(("callback", "callbacks")) and isinstance(callbacks, list):
                callbacks[:] = [callback for callback in callbacks if callback is not self]

    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
        """Remember the context of a call; LiteLLM may tell of its end in another."""
        try:
            if (kwargs.get("litellm_params") or {}).get("no-log"):  # the caller's wish: LiteLLM will tell of no end
                return
            call = call_of(kwargs)
            if call is None or not call.is_open():
                call = kwargs[KEY] = Call(kwargs)
            call.attempts += 1
        except Exception as error:
            runtime.internal_fault(error)

    def log_stream_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Take note of a part of a streamed answer; LiteLLM tells of those of synchronous calls."""
        try:
            if (call := call_of(kwargs)) is not None:
                call.see(response_obj, end_time)
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
            given = metadata_of(kwargs)
            call = call_of(kwargs)
            if failure is not None and (error := kwargs.get("exception")) is not None:
                failure = error_type(error)
            _track(
                kwargs,
                kwargs.get("standard_logging_object") or {},
                failure,
                seconds=seconds_between(start, end),
                mode=call.mode if call else given.get("genai_mode"),
                tenant=call.tenant if call else given.get("genai_tenant"),
                retries=call.attempts - 1 if call and call.end() else 0,
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
    provider = provider_name(host_of(told) or host_of(kwargs))
    model = model_of(kwargs, told)
    cached = bool(told.get("cache_hit"))
    first = None
    if told.get("stream") and not cached and failure is None:
        first = seconds_between(told.get("startTime"), told.get("completionStartTime"))
    usage = parsed((told.get("metadata") or {}).get("usage_object") or {})
    if usage is None:
        usage = Usage(told.get("prompt_tokens") or 0, told.get("completion_tokens") or 0)
    cost = told.get("saved_cache_cost" if cached else "response_cost")
    track_llm_call(
        mode=mode,
        model=model,
        provider=provider,
        operation=operation_of(told.get("call_type") or kwargs.get("call_type")),
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
