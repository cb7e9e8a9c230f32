"""The public functions that record. ``track_llm_call`` is the hot path of the package; it never raises.

The path of a well-formed call: find the series by the raw label values, check the numbers, add. Whatever is unusual
(a new label tuple, a failed call, a wrong argument) leaves it for ``llm_calls``, which takes its time.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from genai_metrics import runtime
from genai_metrics.catalog import LLM_CALL_EXEMPLARS, LLM_FALLBACK, LLM_IN_FLIGHT
from genai_metrics.context import current, mode_or_current
from genai_metrics.llm_calls import Rates, add_call, calls, tenants
from genai_metrics.llm_unusual import LlmCall, record_unusual
from genai_metrics.numbers import LARGEST_COUNT, LARGEST_SECONDS
from genai_metrics.traces import offer, tracing

_current_context = current.get
_INT: object = int
_FLOAT: object = float


def track_llm_call(
    *,
    mode: str | None = None,
    model: str = "unknown",
    provider: str = "unknown",
    operation: str = "chat",
    tenant: str | None = None,
    input_tokens: float = 0,
    output_tokens: float = 0,
    cached: bool = False,
    duration: float | None = None,
    time_to_first_token: float | None = None,
    cached_input_tokens: float = 0,
    cache_write_tokens: float = 0,
    reasoning_tokens: float = 0,
    error_type: str | None = None,
    cost_usd: float | None = None,
    cost_per_1k_input: float | None = None,
    cost_per_1k_output: float | None = None,
    retries: int = 0,
    retry_reason: str = "unspecified",
    estimated: bool = False,
) -> None:
    """Record one LLM call that has ended.

    ``mode``: your name for the kind of request; by default that of the workflow around it, else ``default``.
    ``model``, ``provider``, ``operation``: as OpenTelemetry's ``gen_ai.request.model``, ``gen_ai.provider.name``
    (``openai``, ``anthropic``, ``aws.bedrock``, …) and ``gen_ai.operation.name`` (``chat``, ``embeddings``, …).
    ``tenant``: who is charged; by default the workflow's tenant, else nobody.
    ``input_tokens``: all input tokens, including ``cached_input_tokens`` (read from the provider's prompt cache) and
    ``cache_write_tokens`` (written to it). ``output_tokens``: including ``reasoning_tokens``.
    ``cached``: the answer came from your own response cache: it cost nothing, no tokens were billed, and what the
    given tokens would have cost counts as saved.
    ``duration``, ``time_to_first_token``: seconds from the request. With both, time per output token is recorded too.
    ``error_type``: of a failed call: exception class or HTTP status.
    Cost in US dollars, first that is known: ``cost_usd`` for the whole call; ``cost_per_1k_input`` and
    ``cost_per_1k_output`` (cached input is charged as input); your price file; genai-prices. A model without a price
    counts in ``genai_llm_unpriced_calls_total``, never as $0.
    ``retries``: attempts beyond the first, under ``retry_reason``. ``estimated``: the tokens are your estimate.

    Never raises, never blocks on I/O but when a label tuple is new. Numbers that are negative, NaN, infinite or not
    numbers are left out, labels that are not short text are made so; both count in ``genai_recorder_faults_total``.
    Thread-safe, fork-safe, safe in signal handlers.
    """
    try:
        if tenant is None:
            tenant = _current_context().tenant
        if mode is None:
            mode = _current_context().mode
        call = calls[mode, provider, model, operation, cached]
        payer = None if tenant is None else tenants[tenant, mode]
        rates: Rates | None
        if cost_per_1k_input is not None or cost_per_1k_output is not None:
            # Dividing refuses a missing one (TypeError); what is raised here is not for the caller, either.
            r_in, r_out = cost_per_1k_input / 1000.0, cost_per_1k_output / 1000.0  # type: ignore[operator]
            if not (
                call.cost is not None
                and r_in.__class__ is float is r_out.__class__
                and 0.0 <= r_in < LARGEST_COUNT
                and 0.0 <= r_out < LARGEST_COUNT
                and input_tokens < LARGEST_COUNT
            ):
                raise ValueError("unusual rates")
            rates = (r_in, r_in, r_in, r_out, r_out, 0.0, 0.0)
        elif input_tokens <= call.flat_up_to:
            rates = call.rates
        elif input_tokens < LARGEST_COUNT:
            rates = call.rates_for(input_tokens)
        else:
            raise ValueError("a mistake")
        # Exactly ints and floats: anything else, their subclasses too, may bring an addition of its own. No comparisons
        # in a chain: they cost more than two.
        if (
            _INT is input_tokens.__class__ is output_tokens.__class__ is cached_input_tokens.__class__
            and _INT is cache_write_tokens.__class__ is reasoning_tokens.__class__
            and cached_input_tokens + cache_write_tokens <= input_tokens
            and reasoning_tokens <= output_tokens
            and cached_input_tokens >= 0
            and cache_write_tokens >= 0
            and reasoning_tokens >= 0
            and output_tokens < LARGEST_COUNT
            and error_type is None
            and cost_usd is None
            and retries == 0
            and not estimated
            and (
                time_to_first_token is None
                if duration is None
                else duration.__class__ is _FLOAT
                and duration >= 0.0
                and duration < LARGEST_SECONDS
                and (
                    time_to_first_token is None
                    or (
                        call.stream is not None
                        and time_to_first_token.__class__ is _FLOAT
                        and time_to_first_token >= 0.0
                        and time_to_first_token <= duration
                    )
                )
            )
        ):
            add_call(
                call,
                payer,
                input_tokens,
                cached_input_tokens,
                cache_write_tokens,
                output_tokens,
                reasoning_tokens,
                duration,
                time_to_first_token,
                rates,
            )
            if tracing.on and duration is not None:
                offer(LLM_CALL_EXEMPLARS, call.call, duration)
            return
    except Exception:
        pass  # a label tuple not met before, or an argument of the wrong type: looked at below
    try:
        record_unusual(
            LlmCall(
                mode=mode,
                provider=provider,
                model=model,
                operation=operation,
                tenant=tenant,
                cached=cached,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cached_input_tokens=cached_input_tokens,
                cache_write_tokens=cache_write_tokens,
                reasoning_tokens=reasoning_tokens,
                duration=duration,
                time_to_first_token=time_to_first_token,
                error_type=error_type,
                cost_usd=cost_usd,
                cost_per_1k_input=cost_per_1k_input,
                cost_per_1k_output=cost_per_1k_output,
                retries=retries,
                retry_reason=retry_reason,
                estimated=estimated,
            )
        )
    except Exception as error:
        try:
            runtime.internal_fault(error)
        except RecursionError:  # the caller has used up the stack: not even this call can begin
            pass


def track_llm_fallback(*, from_model: str, to_model: str, reason: str = "unspecified") -> None:
    """Record that a call moved from one model to another. Never raises."""
    try:
        runtime.recorder().block(LLM_FALLBACK, (from_model, to_model, reason)).add(0, 1.0)
    except Exception as error:
        runtime.internal_fault(error)


@contextmanager
def llm_call_in_flight(*, mode: str | None = None, model: str = "unknown") -> Iterator[None]:
    """Count one LLM call as in flight for the duration of the ``with`` block, whatever ends it. Never raises."""
    process = os.getpid()
    mode = mode_or_current(mode)
    _add_in_flight(mode, model, 1.0)
    try:
        yield
    finally:
        # A child forked meanwhile has blocks of its own: the call in flight is its parent's.
        if os.getpid() == process:
            _add_in_flight(mode, model, -1.0)


def _add_in_flight(mode: str, model: str, amount: float) -> None:
    try:
        runtime.recorder().block(LLM_IN_FLIGHT, (mode, model)).add(0, amount)
    except Exception as error:
        runtime.internal_fault(error)
