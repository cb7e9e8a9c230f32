"""The real ``anthropic`` library against a real fake_llm: it parses everything, and the ledger has it exactly."""

import asyncio
import json
from typing import Any

from fake_llm_process import FakeLlm

MODEL = "claude-haiku-4-5"
ACCOUNT = "anthropic/claude-haiku-4-5"
QUESTION: Any = [{"role": "user", "content": "How long do caches keep answers?"}]  # 32 characters: 8 tokens
ASKED: Any = {"model": MODEL, "max_tokens": 500, "messages": QUESTION}
TOOL: Any = {
    "name": "search",
    "input_schema": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
}


def tokens(text: str) -> int:
    """The documented rule: a token for every four characters begun."""
    return (len(text) + 3) // 4


class TestMessages:
    """Messages that succeed."""

    def test_whole(self, llm: FakeLlm) -> None:
        """Text, ending and usage; the ledger has the same numbers."""
        with llm.anthropic() as client:
            message = client.messages.create(**ASKED)
        (block,) = message.content
        assert block.type == "text"
        assert (message.model, message.stop_reason) == ("claude-haiku-4-5-20251001", "end_turn")
        assert (message.usage.input_tokens, message.usage.output_tokens) == (8, tokens(block.text))
        account = llm.account(ACCOUNT)
        assert (account["requests"], account["succeeded"], account["aborted"]) == (1, 1, 0)
        assert (account["input_tokens"], account["output_tokens"]) == (8, tokens(block.text))

    def test_streamed(self, llm: FakeLlm) -> None:
        """The library puts the message together from its events, as raw events and by its helper."""
        with llm.anthropic() as client:
            with client.messages.stream(**ASKED) as stream:
                text = "".join(stream.text_stream)
                message = stream.get_final_message()
            events = [event.type for event in client.messages.create(**ASKED, stream=True)]
        assert message.stop_reason == "end_turn"
        assert message.usage.output_tokens == tokens(text)
        kinds = list(dict.fromkeys(events))
        assert kinds == [
            *("message_start", "content_block_start", "content_block_delta"),
            *("content_block_stop", "message_delta", "message_stop"),
        ]
        assert llm.account(ACCOUNT)["succeeded"] == 2

    def test_asynchronous(self, llm: FakeLlm) -> None:
        """Thirty calls at once, whole and streamed: the sums are exact."""

        async def main() -> list[Any]:
            async def one(client: Any, streamed: bool) -> Any:
                if not streamed:
                    return (await client.messages.create(**ASKED)).usage
                async with client.messages.stream(**ASKED) as stream:
                    return (await stream.get_final_message()).usage

            async with llm.async_anthropic() as client:
                return await asyncio.gather(*(one(client, number % 2 == 0) for number in range(30)))

        usages = asyncio.run(main())
        account = llm.account(ACCOUNT)
        assert (account["succeeded"], account["input_tokens"]) == (30, 240)
        assert account["output_tokens"] == sum(usage.output_tokens for usage in usages)

    def test_is_cut_at_max_tokens(self, llm: FakeLlm) -> None:
        """No more tokens than allowed, and the ending says why."""
        with llm.anthropic() as client:
            message = client.messages.create(**ASKED | {"max_tokens": 5})
        assert message.stop_reason == "max_tokens"
        assert 1 <= message.usage.output_tokens <= 5

    def test_tools(self, llm: FakeLlm) -> None:
        """A tool is called, streamed or not, with arguments of its schema; its result leads to an answer."""
        asked = ASKED | {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "search"}}
        with llm.anthropic() as client:
            message = client.messages.create(**asked)
            with client.messages.stream(**asked) as stream:
                streamed = stream.get_final_message()
            for made in (message, streamed):
                (call,) = made.content
                assert call.type == "tool_use"
                assert (made.stop_reason, call.input) == ("tool_use", {"query": QUESTION[0]["content"]})
                assert made.usage.output_tokens == tokens("search" + json.dumps(call.input))
                assert made.usage.input_tokens == tokens(json.dumps(TOOL) + QUESTION[0]["content"])
            result = {"type": "tool_result", "tool_use_id": call.id, "content": "Caches keep answers for an hour."}
            answer = client.messages.create(
                **ASKED
                | {
                    "tools": [TOOL],
                    "tool_choice": {"type": "none"},
                    "messages": [
                        *QUESTION,
                        {"role": "assistant", "content": message.content},
                        {"role": "user", "content": [result]},
                    ],
                }
            )
        (block,) = answer.content
        assert block.type == "text"
        assert block.text.startswith("Caches keep answers for an hour.")

    def test_models(self, llm: FakeLlm) -> None:
        """The list of models can be read."""
        with llm.anthropic() as client:
            assert "claude-haiku-4-5-20251001" in [model.id for model in client.models.list()]


class TestPromptCache:
    """What is written to the cache and read from it."""

    @staticmethod
    def usage(llm: FakeLlm, *systems: tuple[int, bool], key: str) -> tuple[int, int, int]:
        """Input, written and read tokens of a request with system blocks of so many tokens, marked or not."""
        blocks: Any = [
            {"type": "text", "text": chr(ord("a") + number) * 4 * size}
            | ({"cache_control": {"type": "ephemeral"}} if marked else {})
            for number, (size, marked) in enumerate(systems)
        ]
        with llm.anthropic(api_key=key) as client:
            usage = client.messages.create(**ASKED, system=blocks).usage
        written, read = usage.cache_creation_input_tokens, usage.cache_read_input_tokens
        assert written is not None
        assert read is not None
        assert usage.cache_creation is not None
        assert usage.cache_creation.ephemeral_5m_input_tokens == written
        return usage.input_tokens, written, read

    def test_is_written_first_and_read_later(self, llm: FakeLlm) -> None:
        """Up to the marked block; the ledger's input includes both."""
        assert self.usage(llm, (2000, True), key="a") == (8, 2000, 0)
        assert self.usage(llm, (2000, True), key="a") == (8, 0, 2000)
        assert self.usage(llm, (2000, True), key="b") == (8, 2000, 0)
        account = llm.account(ACCOUNT)
        assert (account["input_tokens"], account["cache_read_tokens"], account["cache_write_tokens"]) == (
            6024,
            2000,
            4000,
        )

    def test_needs_a_mark_and_1024_tokens(self, llm: FakeLlm) -> None:
        """Nothing is cached without being asked for, nor what is short."""
        for _ in range(2):
            assert self.usage(llm, (2000, False), key="c") == (2008, 0, 0)
            assert self.usage(llm, (1000, True), key="d") == (1008, 0, 0)

    def test_grows_with_a_conversation(self, llm: FakeLlm) -> None:
        """What an earlier request wrote is read although the mark has moved on."""
        assert self.usage(llm, (1500, True), key="e") == (8, 1500, 0)
        assert self.usage(llm, (1500, False), (500, True), key="e") == (8, 500, 1500)
        assert self.usage(llm, (1500, False), (500, True), (100, False), key="e") == (108, 0, 2000)
