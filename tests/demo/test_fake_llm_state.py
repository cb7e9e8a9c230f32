"""Tests of what the fake LLM server remembers: prompts it has seen, faults that are on, what it has billed."""

from decimal import Decimal

import pytest

from fake_llm import prompt_cache
from fake_llm.faults import Faults
from fake_llm.ledger import Ledger, Usage
from fake_llm.prompt_cache import CacheUse, PromptCache
from fake_llm.prompts import Part, Prompt


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def openai_prompt(text: str) -> Prompt:
    """A prompt of OpenAI's."""
    return Prompt("openai", "gpt-4o", (Part(text),), "", "")


def anthropic_prompt(*parts: Part) -> Prompt:
    """A prompt of Anthropic's."""
    return Prompt("anthropic", "claude-haiku-4-5", parts, "", "")


class TestPromptCache:
    """Prefixes by time."""

    def test_forgets_after_five_minutes(self) -> None:
        """Counted from the last use, which a hit is, too."""
        clock = Clock()
        cache = PromptCache(clock)
        read = []
        for seconds in (0, 300, 300, 301, 1):
            clock.now += seconds
            read.append(cache.use("key", openai_prompt("x" * 4096)).read)
        assert read == [0, 1024, 1024, 0, 1024]

    def test_forgets_marked_blocks_as_well(self) -> None:
        """What has expired is written once more."""
        clock = Clock()
        cache = PromptCache(clock)
        marked = anthropic_prompt(Part("x" * 8000, cached=True), Part("y" * 40))
        assert cache.use("key", marked) == CacheUse(0, 2000)
        clock.now += 299
        assert cache.use("key", marked) == CacheUse(2000, 0)
        clock.now += 301
        assert cache.use("key", marked) == CacheUse(0, 2000)

    def test_counts_the_common_prefix_in_steps(self) -> None:
        """1500 tokens in common are 1408, the last whole step of 128; what differs at its front has none."""
        cache = PromptCache(Clock())
        cache.use("key", openai_prompt("x" * 6000 + "end"))
        assert cache.use("key", openai_prompt("x" * 6000 + "another end")).read == 1408
        assert cache.use("key", openai_prompt("another" + "x" * 6000)).read == 0

    def test_is_limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beyond the limit what was unused for longest goes."""
        monkeypatch.setattr(prompt_cache, "MOST_ENTRIES", 8)
        cache = PromptCache(Clock())
        cache.use("key", openai_prompt("x" * 4096))
        assert cache.use("key", openai_prompt("x" * 4096)).read == 1024
        cache.use("key", openai_prompt("y" * 512))
        assert cache.use("key", openai_prompt("x" * 4096)).read == 0


class TestFaults:
    """Faults by time."""

    def test_end_by_themselves(self) -> None:
        """When their time is over, neither sooner nor later."""
        clock = Clock()
        faults = Faults(clock)
        faults.start("latency", {"for_seconds": 60, "factor": 3})
        clock.now += 59.9
        assert faults.describe("latency")["seconds_left"] == pytest.approx(0.1)
        parameters = faults.active("latency", "openai")
        assert parameters is not None
        assert (parameters["factor"], parameters["add_seconds"]) == (3.0, 0.0)
        clock.now += 0.2
        assert not faults.describe("latency")["active"]
        assert faults.describe("latency")["parameters"]["factor"] == 6.0
        assert faults.active("latency", "openai") is None

    def test_can_be_set_anew(self) -> None:
        """What is said last counts, with its own time."""
        clock = Clock()
        faults = Faults(clock)
        faults.start("error_burst", {"for_seconds": 60, "share": 0.1})
        faults.start("error_burst", {"for_seconds": 10})
        clock.now += 9
        assert faults.active("error_burst", "anthropic") == {"share": 0.5, "provider": None}
        clock.now += 2
        assert faults.active("error_burst", "anthropic") is None


class TestLedger:
    """What is billed."""

    def test_settles_each_request_once(self) -> None:
        """The first word counts; requests are what succeeded, failed, was aborted and is under way."""
        ledger = Ledger()
        bills = [ledger.open("openai", "m") for _ in range(4)]
        bills[0].succeeded(Usage(10, 5))
        bills[0].aborted(Usage(99, 99))
        bills[1].failed("429")
        bills[1].failed("500")
        bills[2].aborted(Usage(10, 1))
        account = ledger.as_json()["models"]["openai/m"]
        counts = {name: account[name] for name in ("requests", "succeeded", "errors", "aborted", "in_flight")}
        assert counts == {"requests": 4, "succeeded": 1, "errors": {"429": 1}, "aborted": 1, "in_flight": 1}
        assert (account["input_tokens"], account["output_tokens"]) == (20, 6)
        assert account["aborted_tokens"]["output_tokens"] == 1
        assert "cost_usd" not in account

    def test_adds_costs_exactly(self) -> None:
        """Ten times a tenth is one, and what has no price is counted."""
        ledger = Ledger(lambda provider, model, usage: Decimal("0.1") if model == "m" else None)
        for model in ["m"] * 10 + ["new"]:
            ledger.open("openai", model).succeeded(Usage(1))
        models = ledger.as_json()["models"]
        assert (models["openai/m"]["cost_usd"], models["openai/m"]["unpriced"]) == (1.0, 0)
        assert (models["openai/new"]["cost_usd"], models["openai/new"]["unpriced"]) == (0.0, 1)
