"""``with llm_call(...) as call:``: one LLM call from request to complete answer, streams included.

Ends in one ``track_llm_call``. Imports no provider's library.
"""

import os
from typing import Any

from genai_metrics import runtime
from genai_metrics.blocks import Block
from genai_metrics.catalog import LLM_IN_FLIGHT, LLM_RETRY
from genai_metrics.context import current
from genai_metrics.labels import UNKNOWN
from genai_metrics.observations import count, find
from genai_metrics.spans import Span
from genai_metrics.streams import Observation, ObservedStream, Reading
from genai_metrics.texts import answer_text, estimated_tokens, request_text
from genai_metrics.tracking import track_llm_call, track_llm_fallback
from genai_metrics.usage import Usage, model_of, usage_of


class llm_call(Span):  # read as a verb: with llm_call(...)
    """One LLM call: ``with llm_call(model="gpt-4o") as call: call.usage(client.create(...))``; ``async with`` alike.

    ``model``: by default the one that the response names. ``provider``, ``operation``, ``mode``, ``tenant``: as in
    ``track_llm_call``; mode and tenant are by default those of the workflow around the beginning.

    Counts the call in flight, times it and records it once, at the end of the block, or of a stream that outlives it.
    An exception is recorded by its HTTP status, else its class, and goes on unchanged; a generator that is closed
    around the block is no error. A call that reports no usage is estimated from the texts seen. No method raises; all
    may be called from any thread.
    """

    # Here and not in each object: most calls need few of them, and an attribute that is not set costs nothing.
    _usage: Usage | None = None
    _cached = False
    _cost: float | None = None
    _response: Any = None
    _request: Any = None
    _texts: tuple[str, str] | None = None
    _retries: dict[str, int] | None = None
    _reading: Reading | None = None
    _reading_now = False
    _block_left = False
    _ended: tuple[float, BaseException | None] | None = None
    _flying: Block | None = None

    def __init__(
        self,
        *,
        model: str | None = None,
        provider: str = UNKNOWN,
        operation: str = "chat",
        mode: str | None = None,
        tenant: str | None = None,
    ) -> None:
        self._given = (model, mode, tenant)
        self._provider = provider
        self._operation = operation
        self._model, self._mode, self._tenant = model, mode, tenant

    def usage(self, response: Any) -> None:
        """Take usage and model from a response of OpenAI, Anthropic, Google, Bedrock, LiteLLM or LangChain.

        Objects and dicts. The last one said is what counts. A response without usage is kept to the end of the call,
        and its text is what is estimated from.
        """
        try:
            found = usage_of(response)
            if found is None:
                self._response = response
            else:
                self._usage = found
            if self._model is None:
                self._model = model_of(response)
        except Exception as error:
            runtime.internal_fault(error)

    def tokens(
        self,
        *,
        input: float = 0,
        output: float = 0,
        cached_input: float = 0,
        cache_write: float = 0,
        reasoning: float = 0,
    ) -> None:
        """Say the tokens: ``input`` with ``cached_input`` and ``cache_write``, ``output`` with ``reasoning``."""
        self._usage = Usage(input, output, cached_input, cache_write, reasoning)

    def texts(self, *, request: str = "", answer: str = "") -> None:
        """Give the texts from which tokens are estimated if no usage is reported; they are not recorded."""
        self._texts = (request, answer)

    def retry(self, reason: str = "unspecified") -> None:
        """Say that the request is made once more, and why."""
        try:
            if self._retries is None:
                self._retries = {}
            self._retries[reason] = self._retries.get(reason, 0) + 1
        except Exception as error:
            runtime.internal_fault(error)

    def fallback(self, to_model: str, reason: str = "unspecified") -> None:
        """Say that the call goes on with another model, and why; it is recorded under that one."""
        try:
            self._count_retries()
            track_llm_fallback(from_model=self._model or UNKNOWN, to_model=to_model, reason=reason)
            self._model = to_model
            if self._flying is not None:
                self._land()
                self._fly(to_model)
        except Exception as error:
            runtime.internal_fault(error)

    def cached(self) -> None:
        """Say that the answer came from your response cache: it costs nothing, and what it would have cost is saved."""
        self._cached = True

    def cost(self, usd: float) -> None:
        """Say what the whole call cost in US dollars, whatever the price table says."""
        self._cost = usd

    def stream(self, stream: Any) -> Any:
        """Return a stand-in for ``stream`` that yields its chunks unchanged and records when and how it ends.

        For ``for``, ``async for`` and (async) ``with``; attributes and ``close()`` are the stream's own. Time to first
        token is that of the first chunk with content, usage that of the last chunks. Stopping early is no error.
        """
        return ObservedStream(stream, self.observe())

    def observe(self) -> Observation:
        """Begin to watch a streamed answer; for integrations that cannot replace the stream."""
        self._reading = reading = Reading()
        self._reading_now, self._ended = True, None
        return Observation(reading, lambda when, error: self._stream_ended(reading, when, error))

    def request(self, body: Any) -> None:
        """Give the request's body, a dict, from whose text input tokens are estimated if no usage is reported."""
        self._request = body

    def take_over(self, flying: Block, began: float, process: int) -> None:
        """Go on, instead of ``start()``, with a call that is counted in ``flying`` since ``began``, by ``process``."""
        self._flying, self.began, self._process = flying, began, process

    def _stream_ended(self, reading: Reading, when: float, error: BaseException | None) -> None:
        if reading is not self._reading or os.getpid() != self._process:
            return
        self._reading_now, self._ended = False, (when - self.began, error)
        if self._block_left:
            self._record(*self._ended)

    def _begin(self) -> None:
        if self._block_left:  # used again
            kept = {name: vars(self)[name] for name in ("_given", "_provider", "_operation", "_process")}
            vars(self).clear()
            vars(self).update(kept)
            self._model, self._mode, self._tenant = self._given
        if self._mode is None or self._tenant is None:
            around = current.get()
            self._mode = around.mode if self._mode is None else self._mode
            self._tenant = around.tenant if self._tenant is None else self._tenant
        self._fly(self._model)

    def _end(self, seconds: float, error: BaseException | None) -> None:
        self._block_left = True
        if isinstance(error, GeneratorExit):  # a consumer that has seen enough closes the generator around the block
            error = None
        if self._ended is not None:
            seconds, in_stream = self._ended
            error = error or in_stream
        elif self._reading_now and error is None:
            return  # the stream's end is the call's
        self._record(seconds, error)

    def _fly(self, model: str | None) -> None:
        # Under the model that was asked for: what the response says is not known yet.
        self._flying = find(LLM_IN_FLIGHT, (self._mode, UNKNOWN if model is None else model))
        self._flying.add(0, 1.0)

    def _land(self) -> bool:
        """Count it as in flight no more; whether it was: of a stream's end and the block's one comes first."""
        try:
            flying = vars(self).pop("_flying")  # one step, even of two threads
        except KeyError:
            return False
        flying.add(0, -1.0)
        return True

    def _count_retries(self) -> None:
        retries, self._retries = self._retries, None
        for reason, number in (retries or {}).items():
            labels = (self._mode, self._provider, self._model or UNKNOWN, self._operation, reason)
            count(LLM_RETRY, labels, amount=float(number))

    def _record(self, seconds: float, error: BaseException | None) -> None:
        if not self._land():
            return
        usage, estimated, first = self._usage, False, None
        reading = self._reading
        if reading is not None:
            if reading.first is not None:
                first = reading.first - self.began
            if self._model is None:
                self._model = reading.model
        model = self._model or UNKNOWN
        if usage is None:
            usage, estimated = self._from_texts(model, reading, failed=error is not None)
        if self._retries is not None:
            self._count_retries()
        track_llm_call(
            mode=self._mode,
            model=model,
            provider=self._provider,
            operation=self._operation,
            tenant=self._tenant,
            input_tokens=usage.input,
            output_tokens=usage.output,
            cached=self._cached,
            duration=seconds,
            time_to_first_token=first,
            cached_input_tokens=usage.cached_input,
            cache_write_tokens=usage.cache_write,
            reasoning_tokens=usage.reasoning,
            error_type=None if error is None else error_type(error),
            cost_usd=self._cost,
            estimated=estimated,
        )
        self._response = self._reading = None

    def _from_texts(self, model: str, reading: Reading | None, *, failed: bool) -> tuple[Usage, bool]:
        """Return the stream's own usage or an estimate, and whether it is one."""
        reported = None if reading is None else reading.usage
        if reported is not None and reading is not None and reading.complete:
            return reported, False
        asked, answered = self._texts or ("", "")
        if not answered:
            answered = reading.text() if reading is not None else answer_text(self._response)
        output = estimated_tokens(model, answered)
        if reported is not None:  # the input, at the beginning, and an output that was not over
            return reported._replace(output=max(reported.output, output)), True
        if failed and not answered:  # nothing was answered: nobody bills that
            return Usage(0, 0), False
        if not asked:
            asked = request_text(self._request)
        return Usage(estimated_tokens(model, asked), output), not self._cached or bool(asked or answered)


def error_type(error: BaseException) -> str:
    """Return what a failed call is counted under: the HTTP status that an exception carries, else its class."""
    for name in ("status_code", "status", "code"):
        try:
            status = getattr(error, name, None)
        except Exception:  # a property of a foreign class
            continue
        if isinstance(status, int) and 400 <= status <= 599:
            return str(int(status))
    return type(error).__name__
