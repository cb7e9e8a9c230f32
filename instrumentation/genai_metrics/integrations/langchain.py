"""LangChain: a callback handler, ``chain.invoke(…, config={"callbacks": [GenAIMetricsCallback()]})``.

Needs langchain-core.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult

from genai_metrics import runtime
from genai_metrics.context import current
from genai_metrics.integrations.naming import provider_name
from genai_metrics.llm import llm_call
from genai_metrics.spans import Span
from genai_metrics.stages import retrieval, tool_call
from genai_metrics.streams import Observation
from genai_metrics.workflows import workflow

P = ParamSpec("P")

_MOST_OPEN = 10_000


class _Run:
    """One run of LangChain's that has begun: what times it, and the workflow it is part of."""

    __slots__ = ("root", "span", "stream", "token")

    def __init__(self, span: Span | None, root: workflow | None) -> None:
        self.span = span
        self.root = root
        self.stream: Observation | None = None
        self.token: Any = None


def _contained(method: Callable[P, None]) -> Callable[P, None]:
    """Count what a handler's method raises as a fault, before LangChain sees it."""

    @functools.wraps(method)
    def called(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception as error:
            runtime.internal_fault(error)

    return called


class GenAIMetricsCallback(BaseCallbackHandler):
    """Records chat models, LLMs, tools and retrievers, of ``invoke``, ``stream``, ``batch`` and their async forms.

    ``workflows``: also record each outermost chain as a workflow, called by its name (``run_name``), unless a workflow
    of this package is around already. Part of it are the calls recorded here and what the chain's steps, tools and
    retrievers record themselves, but not what the outermost runnable's own function does. ``mode``: instead of that
    name, and instead of the mode of the workflow around; ``tenant`` likewise.

    One handler serves any number of chains, tasks and threads. A stream that is left early is no error. Answers from
    LangChain's cache of chat models count as cached. Calls without usage are estimated. Never raises.
    """

    # Otherwise an async chain runs it in a thread, and beginning and end of a call may change places.
    run_inline = True

    def __init__(self, *, workflows: bool = False, mode: str | None = None, tenant: str | None = None) -> None:
        self._workflows = workflows
        self._mode = mode
        self._tenant = tenant
        self._runs: dict[UUID, _Run] = {}

    @_contained
    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin a call of a chat model."""
        call = self._call("chat", parent_run_id, metadata, kwargs)
        call.request({"messages": [message.content for batch in messages for message in batch]})
        self._start(run_id, call, parent_run_id)

    @_contained
    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin a call of a completion model."""
        call = self._call("text_completion", parent_run_id, metadata, kwargs)
        call.request({"prompt": prompts})
        self._start(run_id, call, parent_run_id)

    @_contained
    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **kwargs: Any) -> None:
        """Take note of a part of a streamed answer."""
        run = self._runs.get(run_id)
        if run is None or not isinstance(run.span, llm_call):
            return
        text = "".join(_texts(token)) or "".join(_tool_texts(chunk))
        if run.stream is None:
            if not text:
                return
            run.stream = run.span.observe()
        run.stream.reading.see(text)

    @_contained
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """End a call."""
        run = self._close(run_id)
        if run is not None and isinstance(run.span, llm_call):
            try:
                _take_answer(run.span, response)
            finally:
                _finish(run, None)

    @_contained
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End a call that failed, or whose stream was left."""
        self._end(run_id, error)

    @_contained
    def on_retry(self, retry_state: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Take note of a request that LangChain makes once more."""
        run = self._runs.get(run_id)
        if run is not None and isinstance(run.span, llm_call):
            error = retry_state.outcome.exception() if retry_state.outcome is not None else None
            run.span.retry("unspecified" if error is None else type(error).__name__)

    @_contained
    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin a tool call."""
        self._start(run_id, tool_call(_name(serialized, kwargs)), parent_run_id)

    @_contained
    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """End a tool call."""
        self._end(run_id)

    @_contained
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End a tool call that failed."""
        self._end(run_id, error)

    @_contained
    def on_retriever_start(
        self,
        serialized: dict[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin a retrieval."""
        self._start(run_id, retrieval(_name(serialized, kwargs)), parent_run_id)

    @_contained
    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **kwargs: Any) -> None:
        """End a retrieval."""
        run = self._close(run_id)
        if run is not None and isinstance(run.span, retrieval):
            try:
                run.span.results(len(documents))
            finally:
                _finish(run, None)

    @_contained
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End a retrieval that failed."""
        self._end(run_id, error)

    @_contained
    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin a chain: the outermost is a workflow, if asked for."""
        if not self._workflows:
            return
        run = None
        if parent_run_id is None and current.get().run is None:
            run = workflow(mode=self._mode or _name(serialized, kwargs), tenant=self._tenant)
        self._start(run_id, run, parent_run_id)

    @_contained
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """End a chain."""
        self._end(run_id)

    @_contained
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End a chain that failed, or whose stream was left."""
        self._end(run_id, error)

    def _call(
        self, operation: str, parent: UUID | None, metadata: dict[str, Any] | None, kwargs: dict[str, Any]
    ) -> llm_call:
        known, asked = metadata or {}, kwargs.get("invocation_params") or {}
        around = self._runs.get(parent) if parent else None
        mode = self._mode or (around.root.mode if around and around.root else None)
        return llm_call(
            model=known.get("ls_model_name") or asked.get("model") or asked.get("model_name"),
            provider=provider_name(known.get("ls_provider")),
            operation=operation,
            mode=mode,
            tenant=self._tenant,
        )

    def _start(self, run_id: UUID, span: Span | None, parent: UUID | None) -> None:
        around = self._runs.get(parent) if parent else None
        root = span if isinstance(span, workflow) else around.root if around else None
        if len(self._runs) >= _MOST_OPEN:  # runs that nobody ends
            self._runs.pop(next(iter(self._runs)), None)
        self._runs[run_id] = _Run(span, root)
        if span is not None:
            span.start()
        if parent is not None and root is not None and current.get().run is not root:
            # For code of the user's own inside. Not with the root itself: while that is streamed, its context is also
            # that of whoever reads the stream, or leaves it unread.
            self._runs[run_id].token = root._activate()

    def _close(self, run_id: UUID) -> _Run | None:
        run = self._runs.pop(run_id, None)
        if run is not None and run.root is not None and run.token is not None:
            run.root._deactivate(run.token)
        return run

    def _end(self, run_id: UUID, error: BaseException | None = None) -> None:
        run = self._close(run_id)
        if run is not None:
            _finish(run, error)


def _finish(run: _Run, error: BaseException | None) -> None:
    if isinstance(error, GeneratorExit):  # a consumer that has seen enough
        error = None
    if run.stream is not None:
        run.stream.end(error)
    if run.span is not None:
        run.span.finish(error)


def _take_answer(call: llm_call, result: LLMResult) -> None:
    """Tell a call its usage and model; of several answers to one request each carries the usage of all."""
    messages = [getattr(one, "message", None) for answers in result.generations for one in answers]
    reported = result.llm_output or {}
    for message in messages:
        usage = getattr(message, "usage_metadata", None)
        if usage is not None:
            if usage.get("total_cost") == 0:  # what LangChain puts into an answer from its cache
                call.cached()
            if "input_tokens" in usage:
                model = (getattr(message, "response_metadata", None) or {}).get("model_name")
                call.usage({"model": model, "usage_metadata": usage})
                return
    if reported.get("token_usage"):
        call.usage({"model": reported.get("model_name"), "usage": reported["token_usage"]})
    elif messages and messages[0] is not None:
        call.usage({"content": messages[0].content})
    elif result.generations and result.generations[0]:
        call.usage({"content": result.generations[0][0].text})


def _texts(token: Any) -> Iterator[str]:
    """Text of a token: a string, or a list of strings and content blocks."""
    if isinstance(token, str):
        yield token
    elif isinstance(token, list):
        for part in token:
            yield part if isinstance(part, str) else str(part.get("text") or "")


def _tool_texts(chunk: Any) -> Iterator[str]:
    for part in getattr(getattr(chunk, "message", None), "tool_call_chunks", None) or ():
        yield from (part.get("name") or "", part.get("args") or "")


def _name(serialized: dict[str, Any] | None, kwargs: dict[str, Any]) -> str:
    known = serialized or {}
    return str(kwargs.get("name") or known.get("name") or (known.get("id") or ["unknown"])[-1])
