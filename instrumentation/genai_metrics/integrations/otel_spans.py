"""What a GenAI span says by its attributes, and a span that has begun. Needs opentelemetry-sdk."""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from genai_metrics import runtime
from genai_metrics.blocks import Block
from genai_metrics.context import Context
from genai_metrics.labels import UNKNOWN
from genai_metrics.numbers import LARGEST_COUNT, checked_number

Attributes = Mapping[str, Any]

INFERENCE = frozenset({"chat", "generate_content", "text_completion", "embeddings"})
RUNS = frozenset({"invoke_workflow", "invoke_agent"})
# What LLM spans were called before operations had names.
_OLD_OPERATIONS = {"chat": "chat", "completion": "text_completion", "embedding": "embeddings"}
_NAMED_AFTER = dict.fromkeys(INFERENCE, "gen_ai.request.model") | {
    "invoke_agent": "gen_ai.agent.name",
    "invoke_workflow": "gen_ai.workflow.name",
}
_NAMING_SCOPES = frozenset({"opentelemetry.util.genai.handler"})

Key = tuple[int, int]
"""Of a span: its trace's and its own number."""


class OpenSpan:
    """A span that matters to those inside it: what they take from it, and what it learns from them."""

    __slots__ = ("_flying", "_process", "around", "context", "has_calls", "is_call", "is_run", "key")

    def __init__(self, key: Key, context: Context, around: "OpenSpan | None", operation: str | None) -> None:
        self.key = key
        self.context = context
        self.around = around
        self.is_call = operation in INFERENCE
        self.is_run = operation in RUNS
        self.has_calls = False
        self._flying: list[Block] = []
        self._process = os.getpid()

    def fly(self, block: Block) -> None:
        """Count it as in flight."""
        block.add(0, 1.0)
        self._flying.append(block)

    def land(self) -> None:
        """Count it as in flight no more, if it was; in a forked child it never was."""
        try:
            block = self._flying.pop()  # one step, even of two threads
        except IndexError:
            return
        if os.getpid() == self._process:
            block.add(0, -1.0)

    def calls_around(self) -> "Iterator[OpenSpan]":
        """Yield the calls that this span is inside of, the inner ones first."""
        enclosing = self.around
        while enclosing:
            if enclosing.is_call:
                yield enclosing
            enclosing = enclosing.around


def key_of(context: Any) -> Key:
    """Return what tells a span from all others, from its own context."""
    return context.trace_id, context.span_id


def is_of(span: ReadableSpan, scopes: Collection[str]) -> bool:
    """Whether a span was made by one of these instrumentation scopes."""
    return span.instrumentation_scope is not None and span.instrumentation_scope.name in scopes


def at_start(span: ReadableSpan) -> Attributes:
    """Return what is known of a span when it starts: its attributes, else what its name says.

    OpenTelemetry's own library for instrumentors sets attributes at the end only, and names spans as the conventions
    ask for: the operation, then the model, or what else it is done with. Names of other libraries say nothing.
    """
    if span.attributes or not is_of(span, _NAMING_SCOPES):
        return span.attributes or {}
    operation, _, rest = span.name.partition(" ")
    given = {"gen_ai.operation.name": operation}
    if rest and operation in _NAMED_AFTER:
        given[_NAMED_AFTER[operation]] = rest
    return given


def model_of(attributes: Attributes) -> Any:
    """Return the model that was asked for, else the one that answered."""
    return attributes.get("gen_ai.request.model") or attributes.get("gen_ai.response.model") or UNKNOWN


def operation_of(attributes: Attributes) -> str | None:
    """Return the GenAI operation of a span, ``None`` for other spans."""
    operation = attributes.get("gen_ai.operation.name")
    if operation is None and "gen_ai.system" in attributes:  # before operations had names
        operation = _OLD_OPERATIONS.get(str(attributes.get("llm.request.type", "chat")))
    return None if operation is None else str(operation)


def tokens_in(attributes: Attributes, *names: str) -> float | None:
    """Return the first of several spellings of one usage attribute that is there; what is no number is a fault."""
    for name in names:
        value = attributes.get(f"gen_ai.usage.{name}")
        if value is not None:
            # Whole numbers stay so: the recorder takes them fastest.
            return value if type(value) is int else checked_number(runtime.recorder(), name, value, LARGEST_COUNT)
    return None


def error_type_of(span: ReadableSpan, attributes: Attributes) -> str | None:
    """Return what a span failed with, ``unknown`` where it does not say; ``None`` when it did not fail."""
    if (given := attributes.get("error.type")) is not None:
        return str(given)
    if span.status.status_code is not StatusCode.ERROR:
        return None
    raised = [e.attributes.get("exception.type") for e in span.events if e.name == "exception" and e.attributes]
    return str(raised[-1]).rpartition(".")[2] if raised and raised[-1] else "unknown"


def documents_in(value: Any) -> int | None:
    """Return the number of documents in an attribute: a sequence, or JSON of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return len(value) if isinstance(value, list | tuple) else None
