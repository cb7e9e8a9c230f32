"""What a request asks for, whatever wire format it came in, and how its tokens are counted.

Imports the standard library only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CHARACTERS_PER_TOKEN = 4
"""The whole tokenizer: a text has a token for every four characters begun, in whatever language."""


class BadRequest(ValueError):
    """A request that the provider would refuse with status 400; the text says what is wrong with it."""


def tokens_of(characters: int) -> int:
    """Number of tokens of a text of so many characters."""
    return -(-characters // CHARACTERS_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the input text, in the order in which it is billed; ``cached`` where cache_control stands."""

    text: str
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call, with the JSON schema of its arguments."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request for an answer.

    ``instructions`` are the system's texts, ``user`` the last text of the user and ``results`` those of tools since.
    ``tool_choice`` is ``auto``, ``none``, ``any`` or a tool's name; ``called`` are the tools called since then.
    ``schema`` is that of the answer when JSON is asked for (empty when any JSON will do).
    """

    provider: str
    model: str
    parts: tuple[Part, ...]
    instructions: str
    user: str
    max_tokens: int | None = None
    results: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    called: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    effort: str = "medium"
    streamed: bool = False
    usage_wanted: bool = False

    @property
    def input_tokens(self) -> int:
        """Tokens of everything that was sent: tools, system and messages."""
        return tokens_of(sum(len(part.text) for part in self.parts))

    @property
    def reasons(self) -> bool:
        """Whether the model thinks before it answers, as its name says."""
        return self.provider == "openai" and self.model.startswith(("o1", "o3", "o4", "gpt-5"))


def required(body: Mapping[str, Any], name: str, kind: type, what: str) -> Any:
    """Return a field of a request; raises ``BadRequest`` when it is missing or of another kind."""
    value = body.get(name)
    if not isinstance(value, kind) or isinstance(value, bool) or value in ("", [], {}):
        raise BadRequest(f"{name}: {what} is required, not {value!r:.60}")
    return value


def optional_count(body: Mapping[str, Any], *names: str) -> int | None:
    """Return the first of these fields that is given, a number from 1 on; raises ``BadRequest`` for anything else."""
    for name in names:
        value = body.get(name)
        if value is not None:
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise BadRequest(f"{name}: a whole number from 1 on is required, not {value!r:.60}")
            return value
    return None


def texts_in(content: Any) -> Iterator[str]:
    """All text of a message's content: a string, or blocks of either provider's kinds, however nested."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for block in content:
            yield from texts_in(block)
    elif isinstance(content, Mapping):
        for key in ("text", "content", "thinking"):
            yield from texts_in(content.get(key))
