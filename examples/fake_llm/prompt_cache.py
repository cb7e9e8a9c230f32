"""Which part of a prompt the provider has seen within the last five minutes, by API key and model.

Lives on the event loop; not for threads. Imports ``prompts``.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from fake_llm.prompts import CHARACTERS_PER_TOKEN, Prompt, tokens_of

TTL_SECONDS = 300.0
SMALLEST_PREFIX_TOKENS = 1024
STEP_TOKENS = 128
MOST_ENTRIES = 200_000  # a prefix is an entry of some 200 bytes; beyond that the one unused for longest goes


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Tokens of a prompt that were read from the cache, and that were written to it."""

    read: int = 0
    written: int = 0


class PromptCache:
    """Prefixes of prompts by when they were used last; ``clock`` counts seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: OrderedDict[Hashable, float] = OrderedDict()

    def use(self, key: str, prompt: Prompt) -> CacheUse:
        """Say what of this prompt was there, and remember it from now on."""
        return self._marked(key, prompt) if prompt.provider == "anthropic" else self._automatic(key, prompt)

    def _automatic(self, key: str, prompt: Prompt) -> CacheUse:
        """OpenAI's way: every prefix from 1024 tokens on, in steps of 128, without being asked."""
        text = "".join(part.text for part in prompt.parts)
        size = STEP_TOKENS * CHARACTERS_PER_TOKEN
        ends = range(size, len(text) + 1, size)
        read, reading = 0, True
        for end, prefix in zip(ends, _prefixes((key, prompt.model), (text[e - size : e] for e in ends)), strict=True):
            reading = self._touch(prefix) and reading
            if reading:
                read = end // CHARACTERS_PER_TOKEN
        return CacheUse(read if read >= SMALLEST_PREFIX_TOKENS else 0)

    def _marked(self, key: str, prompt: Prompt) -> CacheUse:
        """Anthropic's way: up to blocks that carry cache_control, if that is 1024 tokens or more."""
        marks = [number for number, part in enumerate(prompt.parts) if part.cached]
        if not marks:
            return CacheUse()
        characters, read, written = 0, 0, 0
        parts = prompt.parts[: marks[-1] + 1]
        for part, prefix in zip(parts, _prefixes((key, prompt.model), (part.text for part in parts)), strict=True):
            characters += len(part.text)
            tokens = tokens_of(characters)
            if tokens < SMALLEST_PREFIX_TOKENS:
                continue
            # What an earlier request marked counts even where this one has no mark: conversations grow beyond it.
            if self._is_fresh(prefix):
                self._touch(prefix)
                read = tokens
            elif part.cached:
                self._touch(prefix)
                written = tokens
        return CacheUse(read, max(written - read, 0))

    def _is_fresh(self, prefix: Hashable) -> bool:
        used = self._seen.get(prefix)
        return used is not None and self._clock() - used <= TTL_SECONDS

    def _touch(self, prefix: Hashable) -> bool:
        """Remember a prefix as used now; whether it was there."""
        fresh = self._is_fresh(prefix)
        self._seen[prefix] = self._clock()
        self._seen.move_to_end(prefix)
        if len(self._seen) > MOST_ENTRIES:
            self._seen.popitem(last=False)
        return fresh


def _prefixes(start: Hashable, pieces: Iterable[str]) -> Iterable[Hashable]:
    """One hash for each beginning of the sequence of pieces."""
    prefix: Hashable = start
    for piece in pieces:
        prefix = hash((prefix, piece))
        yield prefix
