"""The real ``openai`` library against a real fake_llm: it parses everything, and the ledger has it exactly."""

import asyncio
import json
from typing import Any

import openai
import pytest
from fake_llm_process import FakeLlm

MODEL = "gpt-4o-mini"
QUESTION: Any = [{"role": "user", "content": "How long do caches keep answers?"}]  # 32 characters: 8 tokens
STREAMED: Any = {"stream": True, "stream_options": {"include_usage": True}}
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "search",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": {"type": "string"},
                    "count": {"type": "integer", "minimum": 2, "maximum": 4},
                    "exact": {"type": "boolean"},
                    "source": {"enum": ["docs", "wiki"]},
                },
                "required": ["query", "count", "source"],
            },
        },
    }
]


def tokens(text: str) -> int:
    """The documented rule: a token for every four characters begun."""
    return (len(text) + 3) // 4


def text_of(chunks: list[Any]) -> str:
    """The text that chunks carry."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


class TestAnswers:
    """Chat completions that succeed."""

    def test_whole(self, llm: FakeLlm) -> None:
        """Text, ending and usage; the ledger has the same numbers."""
        with llm.openai() as client:
            answer = client.chat.completions.create(model=MODEL, messages=QUESTION)
        text = answer.choices[0].message.content
        assert text
        assert answer.usage is not None
        assert (answer.model, answer.choices[0].finish_reason) == ("gpt-4o-mini-2024-07-18", "stop")
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (8, tokens(text))
        assert answer.usage.total_tokens == 8 + tokens(text)
        account = llm.account("openai/gpt-4o-mini")
        assert (account["requests"], account["succeeded"], account["errors"], account["aborted"]) == (1, 1, {}, 0)
        assert (account["input_tokens"], account["output_tokens"]) == (8, tokens(text))

    def test_streamed(self, llm: FakeLlm) -> None:
        """Many chunks, one ending, usage in the last one."""
        with llm.openai() as client, client.chat.completions.create(model=MODEL, messages=QUESTION, **STREAMED) as s:
            chunks = list(s)
        assert len(chunks) > 5
        assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
        usage = chunks[-1].usage
        assert usage is not None
        assert usage.completion_tokens == tokens(text_of(chunks)) == llm.account("openai/gpt-4o-mini")["output_tokens"]

    def test_streamed_without_usage(self, llm: FakeLlm) -> None:
        """Usage is sent only when it is asked for, and billed all the same."""
        with llm.openai() as client:
            chunks = list(client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True))
        assert all(chunk.usage is None and chunk.choices for chunk in chunks)
        assert llm.account("openai/gpt-4o-mini")["output_tokens"] == tokens(text_of(chunks))

    def test_asynchronous(self, llm: FakeLlm) -> None:
        """Thirty calls at once, whole and streamed: the sums are exact."""

        async def main() -> tuple[int, int]:
            async def one(client: openai.AsyncOpenAI, streamed: bool) -> Any:
                made: Any = await client.chat.completions.create(
                    model=MODEL, messages=QUESTION, **(STREAMED if streamed else {})
                )
                return [chunk async for chunk in made][-1].usage if streamed else made.usage

            async with llm.async_openai() as client:
                usages = await asyncio.gather(*(one(client, number % 2 == 0) for number in range(30)))
            return sum(each.prompt_tokens for each in usages), sum(each.completion_tokens for each in usages)

        given, made = asyncio.run(main())
        account = llm.account("openai/gpt-4o-mini")
        assert (account["succeeded"], account["input_tokens"], account["output_tokens"]) == (30, given, made)

    def test_is_cut_at_max_tokens(self, llm: FakeLlm) -> None:
        """No more tokens than allowed, and the ending says why."""
        with llm.openai() as client:
            answer = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=5)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert 1 <= answer.usage.completion_tokens <= 5

    def test_reasoning_model(self, llm: FakeLlm) -> None:
        """Reasoning is a part of the output, in steps of 64, and its effort can be chosen."""
        with llm.openai() as client:
            answer = client.chat.completions.create(model="o4-mini", messages=QUESTION)
            shy = client.chat.completions.create(model="o4-mini", messages=QUESTION, reasoning_effort="none")
        usage = answer.usage
        assert usage is not None
        assert usage.completion_tokens_details is not None
        reasoning = usage.completion_tokens_details.reasoning_tokens
        assert reasoning
        assert reasoning % 64 == 0
        assert usage.completion_tokens == reasoning + tokens(answer.choices[0].message.content or "")
        assert shy.usage is not None
        assert shy.usage.completion_tokens_details is not None
        assert shy.usage.completion_tokens_details.reasoning_tokens == 0
        assert llm.account("openai/o4-mini")["reasoning_tokens"] == reasoning

    def test_prompt_cache(self, llm: FakeLlm) -> None:
        """A prefix of 1024 tokens or more is cached at its second use with the same key, in steps of 128."""
        long: Any = [{"role": "system", "content": "x" * 4 * 1200}, *QUESTION]
        short: Any = [{"role": "system", "content": "y" * 4 * 1000}, *QUESTION]

        def cached(key: str, messages: Any, model: str = MODEL) -> int | None:
            with llm.openai(api_key=key) as client:
                usage = client.chat.completions.create(model=model, messages=messages).usage
            assert usage is not None
            assert usage.prompt_tokens_details is not None
            return usage.prompt_tokens_details.cached_tokens

        assert [cached("a", long), cached("a", long), cached("a", short), cached("a", short)] == [0, 1152, 0, 0]
        assert [cached("b", long), cached("a", long, "gpt-4o"), cached("a", long)] == [0, 0, 1152]
        assert llm.account("openai/gpt-4o-mini")["cache_read_tokens"] == 2304

    def test_embeddings(self, llm: FakeLlm) -> None:
        """Vectors of the right size, nearer for texts that share words, and input tokens in the ledger."""
        texts = ["caches keep answers", "caches keep questions", "Prometheus scrapes"]
        with llm.openai() as client:
            made = client.embeddings.create(model="text-embedding-3-small", input=texts)
            small = client.embeddings.create(model="text-embedding-3-small", input="x", dimensions=64)
            as_floats = client.embeddings.create(
                model="text-embedding-3-small", input=texts[0], encoding_format="float"
            )
        first, second, third = (each.embedding for each in made.data)
        assert (len(first), len(small.data[0].embedding)) == (1536, 64)
        assert as_floats.data[0].embedding == pytest.approx(first)

        def product(one: list[float], other: list[float]) -> float:
            return sum(a * b for a, b in zip(one, other, strict=True))

        assert product(first, first) == pytest.approx(1)
        assert product(first, second) > 0.5 > abs(product(first, third))
        account = llm.account("openai/text-embedding-3-small")
        assert (account["requests"], account["input_tokens"], account["output_tokens"]) == (3, 16 + 1 + 5, 0)

    def test_models(self, llm: FakeLlm) -> None:
        """The list of models can be read."""
        with llm.openai() as client:
            assert MODEL in [model.id for model in client.models.list()]


class TestTools:
    """Answers that call tools."""

    def test_calls_a_tool_that_fits_its_schema(self, llm: FakeLlm) -> None:
        """A tool that must be called is, with arguments that its schema allows; billed are name and arguments."""
        with llm.openai() as client:
            answer = client.chat.completions.create(model=MODEL, messages=QUESTION, tools=TOOLS, tool_choice="required")
        choice = answer.choices[0]
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
        assert choice.message.tool_calls is not None
        call: Any = choice.message.tool_calls[0]
        arguments = json.loads(call.function.arguments)
        assert arguments.keys() == {"query", "count", "source"}
        assert arguments["query"] == QUESTION[0]["content"]
        assert 2 <= arguments["count"] <= 4
        assert arguments["source"] in ("docs", "wiki")
        assert answer.usage is not None
        assert answer.usage.completion_tokens == tokens("search" + call.function.arguments)
        assert answer.usage.prompt_tokens == tokens(json.dumps(TOOLS[0]) + QUESTION[0]["content"])

    def test_streams_a_call(self, llm: FakeLlm) -> None:
        """The pieces of the arguments make JSON, and the last chunk says what was billed."""
        with llm.openai() as client:
            chunks: Any = list(
                client.chat.completions.create(
                    model=MODEL, messages=QUESTION, tools=TOOLS, tool_choice="required", **STREAMED
                )
            )
        calls = [c.choices[0].delta.tool_calls[0] for c in chunks if c.choices and c.choices[0].delta.tool_calls]
        arguments = "".join(call.function.arguments for call in calls)
        assert (calls[0].function.name, json.loads(arguments).keys()) == ("search", {"query", "count", "source"})
        assert chunks[-1].usage.completion_tokens == tokens("search" + arguments)

    def test_a_conversation_of_tools_ends(self, llm: FakeLlm) -> None:
        """Results of tools lead to an answer, after a few calls at most."""
        messages: Any = [{"role": "user", "content": "Use search. How long do caches keep answers?"}]
        content, calls = None, 0
        with llm.openai() as client:
            while content is None:
                made = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
                message = made.choices[0].message
                content = message.content
                for call in message.tool_calls or ():
                    calls += 1
                    result = {"role": "tool", "tool_call_id": call.id, "content": "Caches keep answers for an hour."}
                    messages += [message, result]
        assert 1 <= calls <= 6
        assert content.startswith("Caches keep answers for an hour.")

    def test_none_is_called_against_the_will(self, llm: FakeLlm) -> None:
        """``tool_choice`` none is heeded however often it is asked."""
        with llm.openai() as client:
            for _ in range(10):
                made: Any = client.chat.completions.create(
                    model=MODEL, messages=QUESTION, tools=TOOLS, tool_choice="none"
                )
                assert made.choices[0].message.tool_calls is None
