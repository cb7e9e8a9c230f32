"""What LiteLLM keeps of a call: what its fields mean, and a call of ours among them. Imports no LiteLLM."""

import os
from collections.abc import Mapping
from contextvars import Context
from datetime import datetime
from typing import Any

from genai_metrics import runtime
from genai_metrics.blocks import Block
from genai_metrics.catalog import LLM_IN_FLIGHT
from genai_metrics.context import current
from genai_metrics.integrations.naming import provider_name
from genai_metrics.labels import UNKNOWN
from genai_metrics.observations import find
from genai_metrics.texts import delta_text, estimated_tokens, request_text
from genai_metrics.tracking import track_llm_call
from genai_metrics.usage import Usage, field, parsed

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

KEY = "genai_metrics"
"""Where a call of ours is in LiteLLM's own record of the call."""


class Call:
    """A call that LiteLLM is making, kept in LiteLLM's own record of it: what was around it, what its stream said.

    LiteLLM tells nothing of a stream that is not read to its end, nor of a call that is cancelled. Its record of the
    call goes all the same, when the garbage collector comes, and this with it: that is then the end of the call.
    """

    __slots__ = (
        "_details",
        "_finished",
        "_flying",
        "_process",
        "_texts",
        "_until",
        "_usage",
        "attempts",
        "mode",
        "tenant",
    )

    def __init__(self, details: dict[str, Any]) -> None:
        self._flying: list[Block] = []  # first of all: __del__ asks, whatever fails below
        self._details = details
        around, given = current.get(), metadata_of(details)
        self.mode: str = given.get("genai_mode") or around.mode
        self.tenant: str | None = given.get("genai_tenant") or around.tenant
        self.attempts = 1 if given.get("attempted_retries") else 0
        self._process = os.getpid()
        self._texts: list[str] = []
        self._usage: Usage | None = None
        self._until: datetime | None = None
        self._finished = False
        flying = find(LLM_IN_FLIGHT, (self.mode, model_of(details)))
        flying.add(0, 1.0)
        self._flying.append(flying)

    def see(self, chunk: Any, when: datetime) -> None:
        """Take note of a part of a streamed answer; threads of LiteLLM may tell of parts in any order."""
        self._texts.append(delta_text(chunk) or "")
        usage = parsed(field(chunk, "usage") or {})
        if usage is not None and (self._usage is None or usage.output >= self._usage.output):
            self._usage = usage
        self._until = when if self._until is None else max(self._until, when)
        self._finished = self._finished or any(field(each, "finish_reason") for each in field(chunk, "choices") or ())

    def is_open(self) -> bool:
        """Whether its end is still to come."""
        return bool(self._flying)

    def end(self) -> bool:
        """Count it as in flight no more; whether it was."""
        try:
            flying = self._flying.pop()  # one step, even of two threads
        except IndexError:
            return False
        self._details = {}
        if os.getpid() == self._process:  # of a child forked meanwhile the call is not
            flying.add(0, -1.0)
        return True

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        # A copy of LiteLLM's record, as other loggers make, is not the call: its end must not be the call's.
        return str, ("a call",)

    def __del__(self) -> None:
        try:
            details = self._details
            if self.end() and details.get("stream") is True and os.getpid() == self._process:
                # The garbage collector comes in any thread, in the midst of any other call's context.
                Context().run(self._left, details)
        except Exception as error:
            try:
                runtime.internal_fault(error)
            except Exception:  # at the end of the interpreter anything may be gone
                pass

    def _left(self, details: dict[str, Any]) -> None:
        """Record a stream that was not read to its end: not an error, and as long as it was read."""
        began, first = details.get("start_time"), details.get("completion_start_time")
        told = [when for when in (first, self._until) if when is not None]
        seconds = seconds_between(began, max(told)) if told else None
        model = model_of(details)
        answer = estimated_tokens(model, "".join(self._texts))
        if self._usage is None:
            usage = Usage(estimated_tokens(model, request_text(details)), answer)
        else:
            usage = self._usage._replace(output=max(self._usage.output, answer))
        track_llm_call(
            mode=self.mode,
            model=model,
            provider=provider_name(host_of(details)),
            operation=operation_of(details.get("call_type")),
            tenant=self.tenant,
            input_tokens=usage.input,
            output_tokens=usage.output,
            duration=seconds,
            time_to_first_token=seconds_between(began, first),
            cached_input_tokens=usage.cached_input,
            cache_write_tokens=usage.cache_write,
            reasoning_tokens=usage.reasoning,
            retries=self.attempts - 1,
            estimated=self._usage is None or not self._finished,
        )


def call_of(kwargs: Mapping[str, Any]) -> Call | None:
    """Return the call that LiteLLM tells of, unless it began before the logger, or is none: a cached answer."""
    call = kwargs.get(KEY)
    return call if isinstance(call, Call) else None


def host_of(told: Mapping[str, Any]) -> str:
    """Return LiteLLM's name of the provider, empty where it does not say."""
    return str(told.get("custom_llm_provider") or "")


def model_of(kwargs: Mapping[str, Any], told: Mapping[str, Any] | None = None) -> str:
    """Return the model of a call, without the provider that LiteLLM may put before it."""
    told = told or {}
    return str(told.get("model") or kwargs.get("model") or UNKNOWN).removeprefix(f"{host_of(told) or host_of(kwargs)}/")


def metadata_of(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metadata that the caller has given with a call."""
    return (kwargs.get("litellm_params") or {}).get("metadata") or {}


def operation_of(call_type: Any) -> str:
    """Return OpenTelemetry's operation of a type of call."""
    name = str(call_type or "completion")
    return OPERATIONS.get(name) or OPERATIONS.get(name.removeprefix("a"), name)


def seconds_between(start: Any, end: Any) -> float | None:
    """Return the time between two times, as LiteLLM gives them: ``datetime`` or seconds."""
    if start is None or end is None:
        return None
    passed = end - start
    return max(passed.total_seconds() if isinstance(start, datetime) else float(passed), 0.0)
