"""What the model answers: text out of the passages of the prompt, a tool call, scores, or JSON of a given schema.

The same prompt and the same ``Random`` give the same answer. Imports ``fits``, ``prompts`` and ``wording``.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from fake_llm import fits
from fake_llm.prompts import CHARACTERS_PER_TOKEN, Prompt, Tool, tokens_of
from fake_llm.wording import extract, passages_in, question_in, rewrite, without_passages

_ASKS_FOR_SCORE = re.compile(r"\bscores?\b", re.IGNORECASE)
_ASKS_TO_REWRITE = re.compile(r"\b(rewrite|rephrase|reformulate|expand)\b", re.IGNORECASE)
_ASKS_FOR_JSON = re.compile(r"\bjson\b", re.IGNORECASE)
_LONG_TEXT = 1500  # characters: a text of this length holds what it is about
_EFFORTS = {"none": 0.0, "minimal": 0.1, "low": 0.4, "medium": 1.0, "high": 2.0, "xhigh": 3.0, "max": 4.0}
_REASONING_STEP = 64  # OpenAI counts reasoning in steps of 64


@dataclass(frozen=True, slots=True)
class Content:
    """An answer: ``text``, or a call of ``tool`` with ``text`` as its arguments in JSON.

    ``ending`` is ``stop``, ``length`` or ``tool``.
    """

    text: str
    ending: str
    tool: str | None = None
    reasoning_tokens: int = 0

    @property
    def output_tokens(self) -> int:
        """Tokens of the whole answer, reasoning included."""
        return self.tokens_until(len(self.text) + len(self.tool or ""))

    def tokens_until(self, characters: int) -> int:
        """Tokens after so many characters of the answer, reasoning included: that comes before the first one."""
        return self.reasoning_tokens + tokens_of(characters)


def compose(prompt: Prompt, random: Random, quality: float) -> Content:
    """Answer a prompt; evaluators give scores of the mean ``quality``."""
    reasoning = _reasoning(prompt, random)
    tool = _tool_to_call(prompt, random)
    if tool is not None:
        arguments = json.dumps(_fill(tool.schema, prompt, random, quality))
        return Content(arguments, "tool", tool.name, reasoning)
    text = _text(prompt, random, quality)
    room = math.inf if prompt.max_tokens is None else prompt.max_tokens - reasoning
    if tokens_of(len(text)) > room:
        return Content(text[: max(int(room), 0) * CHARACTERS_PER_TOKEN].rstrip(), "length", None, reasoning)
    return Content(text, "stop", None, reasoning)


def _text(prompt: Prompt, random: Random, quality: float) -> str:
    if prompt.schema:
        return json.dumps(_fill(prompt.schema, prompt, random, quality))
    # What stands in passages asks for nothing.
    asked = f"{prompt.instructions}\n{without_passages(prompt.user)}"
    wants_json = prompt.schema is not None or _ASKS_FOR_JSON.search(asked) is not None
    if wants_json and _ASKS_FOR_SCORE.search(asked):
        names = ("score", "correctness", "completeness")
        return json.dumps({name: fits.draw_score(random, quality) for name in names})
    if not wants_json and _ASKS_TO_REWRITE.search(asked):
        return rewrite(question_in(prompt.user), random)
    answer = _prose(prompt, random, fits.ANSWER_WORDS.draw(random, fits.LONGEST_ANSWER_WORDS))
    return answer if prompt.schema is None else json.dumps({"answer": answer}, ensure_ascii=False)


def _prose(prompt: Prompt, random: Random, words: float) -> str:
    sources = [*prompt.results, *passages_in(prompt.instructions), *passages_in(prompt.user)]
    if not sources and len(prompt.user) >= _LONG_TEXT:
        sources = [prompt.user]
    return extract(sources, question_in(prompt.user), max(1, round(words)), random)


def _reasoning(prompt: Prompt, random: Random) -> int:
    if not prompt.reasons:
        return 0
    drawn = fits.REASONING_TOKENS.draw(random, fits.LONGEST_REASONING) * _EFFORTS.get(prompt.effort, 1.0)
    room = math.inf if prompt.max_tokens is None else prompt.max_tokens
    return int(min(math.ceil(drawn / _REASONING_STEP) * _REASONING_STEP, room))


def _tool_to_call(prompt: Prompt, random: Random) -> Tool | None:
    """The tool to call: one that must be, or that the user names, or by probability any."""
    level, pick = random.random(), random.random()  # both always: what follows must not depend on the way here
    if not prompt.tools or prompt.tool_choice == "none":
        return None
    by_name = {tool.name: tool for tool in prompt.tools}
    if prompt.tool_choice in by_name:
        return by_name[prompt.tool_choice]
    fresh = [tool for tool in prompt.tools if tool.name not in prompt.called]
    named = [tool for tool in fresh if re.search(rf"\b{re.escape(tool.name)}\b", prompt.user)]
    if named:
        return named[0]
    chosen = (fresh or prompt.tools)[int(pick * len(fresh or prompt.tools))]
    if prompt.tool_choice == "any":
        return chosen
    share = fits.TOOL_USE_AGAIN_SHARE if prompt.called else fits.TOOL_USE_SHARE
    return chosen if level < share and len(prompt.called) < fits.MOST_TOOL_CALLS else None


def _fill(schema: Mapping[str, Any], prompt: Prompt, random: Random, quality: float, name: str = "") -> Any:
    """A value that fits a JSON schema; of its keywords those that say the kind and the limits of a value."""
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return random.choice(list(schema["enum"]))
    for keyword in ("anyOf", "oneOf"):
        if schema.get(keyword):
            return _fill(schema[keyword][0], prompt, random, quality, name)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        wanted = schema.get("properties", {})
        chosen = schema.get("required", wanted)
        return {key: _fill(wanted.get(key, {}), prompt, random, quality, key) for key in chosen}
    if kind == "array":
        count = max(int(schema.get("minItems", 1)), min(2, int(schema.get("maxItems", 2))))
        return [_fill(schema.get("items", {}), prompt, random, quality, name) for _ in range(count)]
    if kind in ("number", "integer"):
        return _number(schema, random, quality, name, whole=kind == "integer")
    if kind == "boolean":
        return random.random() < quality
    if kind == "null":
        return None
    # The question is what most tools want; everything else that is a text is written.
    if prompt.schema is None or name in ("query", "question", "q"):
        return question_in(prompt.user)[:200]
    return _prose(prompt, random, 20.0)


def _number(schema: Mapping[str, Any], random: Random, quality: float, name: str, *, whole: bool) -> float:
    least, most = float(schema.get("minimum", 0)), float(schema.get("maximum", 10 if whole else 1))
    is_score = any(word in name for word in ("score", "quality", "correctness", "completeness"))
    level = fits.draw_score(random, quality) if is_score else random.random()
    value = least + level * (most - least)
    return round(value) if whole else round(value, 2)
