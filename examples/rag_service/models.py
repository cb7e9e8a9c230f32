"""Calls of models through the providers' own libraries, instrumented by one line each; which model; falling back.

Imports ``genai_metrics``, openai and anthropic.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from anthropic import AnthropicError, AsyncAnthropic
from anthropic.types import Message, MessageParam, TextBlockParam, ToolParam, Usage
from openai import AsyncOpenAI, OpenAIError
from openai.types.chat import ChatCompletionMessageParam

from genai_metrics import current_run, track_llm_fallback
from genai_metrics.integrations.anthropic import instrument_anthropic
from genai_metrics.integrations.openai import instrument_openai
from rag_service.settings import Settings
from rag_service.state import FaultState

SMALL, LARGE, REASONING = "gpt-4o-mini", "gpt-4o", "o4-mini"
AGENT = "claude-haiku-4-5"
EMBEDDING = "text-embedding-3-small"
_EMBEDDING_SIZE = 256

FALLBACKS = {SMALL: AGENT, LARGE: AGENT, REASONING: AGENT, AGENT: SMALL}
"""Where a call goes when its provider fails: to the other one."""

EXPENSIVE = {SMALL: LARGE, AGENT: "claude-opus-4-1"}
"""What a mistake in the configuration would call instead: 15 times the price."""

UNKNOWN = "ferrow-support-7b"
"""A model of the company's own, of which nobody has told the price."""

_RETRIES = 1
_TIMEOUT_SECONDS = 25.0

ProviderError = (OpenAIError, AnthropicError)


@dataclass
class Reply:
    """A model's answer, and what was billed for it; of a stream it is filled in as it comes."""

    model: str
    text: str = ""
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def provider(self) -> str:
        """Who answered."""
        return provider_of(self.model)


@dataclass(frozen=True)
class Request:
    """What a model is asked; ``guide`` is the part of the instructions that providers may cache.

    ``schema``: of the answer, where it is to be JSON. Such answers are OpenAI's alone.
    """

    model: str
    user: str
    system: str = ""
    guide: str = ""
    max_tokens: int = 400
    schema: dict[str, Any] | None = None


def provider_of(model: str) -> str:
    """Return who offers a model."""
    return "anthropic" if model.startswith("claude") else "openai"


def reason_of(error: Exception) -> str:
    """Return why a call failed: its HTTP status, or the class of the exception."""
    return str(getattr(error, "status_code", None) or type(error).__name__)


class Models:
    """Clients of both providers. One event loop."""

    def __init__(self, settings: Settings, faults: FaultState) -> None:
        self._faults = faults
        self._openai = AsyncOpenAI(
            base_url=f"{settings.llm_url}/openai/v1", api_key="demo", max_retries=_RETRIES, timeout=_TIMEOUT_SECONDS
        )
        self._anthropic = AsyncAnthropic(
            base_url=f"{settings.llm_url}/anthropic", api_key="demo", max_retries=_RETRIES, timeout=_TIMEOUT_SECONDS
        )
        instrument_openai(self._openai)
        instrument_anthropic(self._anthropic)
        # For what an answer can do without: embeddings and scores. A copy of an instrumented client is recorded, too.
        self._openai_once = self._openai.with_options(max_retries=0)

    async def close(self) -> None:
        """Close the connections."""
        await self._openai.close()
        await self._anthropic.close()

    def chosen(self, model: str, *, simple: bool = False) -> str:
        """Return the model that is called instead of ``model`` now; ``simple`` answers may come from the own one."""
        if simple and self._faults.is_on("unknown_model"):
            return UNKNOWN
        return EXPENSIVE.get(model, model) if self._faults.is_on("cost_spike") else model

    async def complete(self, request: Request) -> Reply:
        """Return the whole answer; when the provider fails, that of the fallback. Raises the last provider's error."""
        try:
            return await self._complete(request, request.model)
        except ProviderError as error:
            if request.schema is not None:
                raise
            return await self._complete(request, self._fall_back(request.model, error))

    async def stream(self, request: Request, reply: Reply) -> AsyncGenerator[str, None]:
        """Yield the answer's pieces as they come and fill in ``reply``.

        When the provider fails before the first piece, the answer is the fallback's. Raises the last provider's error.
        """
        try:
            async with aclosing(self._stream(request, reply)) as pieces:
                async for piece in pieces:
                    yield piece
        except ProviderError as error:
            if reply.text:
                raise
            reply.model = self._fall_back(request.model, error)
            async with aclosing(self._stream(request, reply)) as pieces:
                async for piece in pieces:
                    yield piece

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector of each text; raises the provider's error."""
        made = await self._openai_once.embeddings.create(model=EMBEDDING, input=list(texts), dimensions=_EMBEDDING_SIZE)
        return [each.embedding for each in made.data]

    async def step(self, system: str, guide: str, messages: list[MessageParam], tools: list[ToolParam]) -> Message:
        """Return an agent's next step, with the instructions marked for the provider's prompt cache."""
        return await self._anthropic.messages.create(
            model=self.chosen(AGENT),
            max_tokens=300,
            system=_marked(system, guide),
            messages=messages,
            tools=tools,
        )

    def _fall_back(self, model: str, error: Exception) -> str:
        other = FALLBACKS.get(model, SMALL if provider_of(model) == "anthropic" else AGENT)
        track_llm_fallback(from_model=model, to_model=other, reason=reason_of(error))
        if (run := current_run()) is not None:
            run.warning("model_fallback")
        return other

    async def _complete(self, request: Request, model: str) -> Reply:
        if provider_of(model) == "anthropic":
            return await self._complete_anthropic(request, model)
        return await self._complete_openai(request, model)

    async def _complete_anthropic(self, request: Request, model: str) -> Reply:
        message = await self._anthropic.messages.create(
            model=model,
            max_tokens=request.max_tokens,
            system=_marked(request.system, request.guide),
            messages=[{"role": "user", "content": request.user}],
        )
        text = "".join(block.text for block in message.content if block.type == "text")
        return Reply(model, text, _input_tokens(message.usage), message.usage.output_tokens)

    async def _complete_openai(self, request: Request, model: str) -> Reply:
        client = self._openai
        more: dict[str, Any] = {}
        if request.schema is not None:
            client = self._openai_once
            schema = {"name": "answer", "schema": request.schema, "strict": True}
            more["response_format"] = {"type": "json_schema", "json_schema": schema}
        if model == REASONING:
            more |= {"reasoning_effort": "low", "max_completion_tokens": request.max_tokens}
        else:
            more["max_tokens"] = request.max_tokens
        made = await client.chat.completions.create(model=model, messages=_messages(request), **more)
        reply = Reply(model, made.choices[0].message.content or "")
        if made.usage is not None:
            reply.input_tokens, reply.output_tokens = made.usage.prompt_tokens, made.usage.completion_tokens
        return reply

    async def _stream(self, request: Request, reply: Reply) -> AsyncGenerator[str, None]:
        if provider_of(reply.model) == "anthropic":
            async with self._anthropic.messages.stream(
                model=reply.model,
                max_tokens=request.max_tokens,
                system=_marked(request.system, request.guide),
                messages=[{"role": "user", "content": request.user}],
            ) as events:
                async for text in events.text_stream:
                    reply.text += text
                    yield text
                usage = (await events.get_final_message()).usage
            reply.input_tokens, reply.output_tokens = _input_tokens(usage), usage.output_tokens
            return
        chunks = await self._openai.chat.completions.create(
            model=reply.model,
            messages=_messages(request),
            max_tokens=request.max_tokens,
            stream=True,
            stream_options={"include_usage": True},
        )
        # Closed whatever happens: a stream that is merely dropped stays open until the garbage collector finds it.
        async with chunks:
            async for chunk in chunks:
                if chunk.usage is not None:
                    reply.input_tokens = chunk.usage.prompt_tokens
                    reply.output_tokens = chunk.usage.completion_tokens
                if chunk.choices and (piece := chunk.choices[0].delta.content):
                    reply.text += piece
                    yield piece


def _messages(request: Request) -> list[ChatCompletionMessageParam]:
    # What is the same in all requests first: OpenAI caches what prompts begin with.
    system = "\n\n".join(part for part in (request.guide, request.system) if part)
    user: ChatCompletionMessageParam = {"role": "user", "content": request.user}
    return [{"role": "system", "content": system}, user] if system else [user]


def _marked(system: str, guide: str) -> list[TextBlockParam]:
    blocks: list[TextBlockParam] = []
    if guide:
        blocks.append({"type": "text", "text": guide, "cache_control": {"type": "ephemeral"}})
    if system:
        blocks.append({"type": "text", "text": system})
    return blocks


def _input_tokens(usage: Usage) -> int:
    """Return all input tokens: Anthropic's own number leaves out what was read from and written to the cache."""
    return usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
