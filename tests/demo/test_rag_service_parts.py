"""Tests of the demo service's parts, without processes."""

import asyncio
import json
from pathlib import Path

import pytest

from genai_metrics.testing import isolated_store
from rag_service import corpus
from rag_service.agents import agent_for
from rag_service.caches import FEW_RESPONSES, RESPONSES, Caches, Stored
from rag_service.faults import CATALOGUE
from rag_service.pool import ConnectionPool, PoolTimeout
from rag_service.search import Index
from rag_service.settings import Settings
from rag_service.state import FaultState
from rag_service.tools import ToolError, Tools


class Clock:
    """Unix time that passes when told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class TestFaultState:
    """The file in which workers see which faults are on."""

    def test_is_seen_by_all_who_look_at_the_file(self, tmp_path: Path) -> None:
        """What one has set another has, also one that starts later; a fault ends by itself, or when it is stopped."""
        clock = Clock()
        one = FaultState(tmp_path / "faults.json", clock)
        assert not one.is_on("cost_spike")
        one.start("cost_spike", 60)
        one.start("tool_failures", 120)
        other = FaultState(tmp_path / "faults.json", clock)
        assert other.until("cost_spike") == clock.now + 60
        clock.now += 60
        assert [one.is_on(name) for name in ("cost_spike", "tool_failures")] == [False, True]
        one.stop("tool_failures")
        assert not one.is_on("tool_failures")
        assert json.loads((tmp_path / "faults.json").read_text()) == {}

    @pytest.mark.parametrize("text", ["", "[]", '{"latency": []}', "\x00"])
    def test_takes_a_damaged_file_for_an_empty_one(self, tmp_path: Path, text: str) -> None:
        """No fault is on, and the next one is written as ever."""
        path = tmp_path / "faults.json"
        path.write_text(text)
        state = FaultState(path)
        assert not state.is_on("latency")
        state.start("latency", 60)
        assert state.is_on("latency")


class TestCorpus:
    """The texts that are shipped."""

    def test_has_texts_of_every_kind(self) -> None:
        """Short ones to answer from, long ones to summarise; each has a title and passages."""
        by_kind = {kind: [doc for doc in corpus.documents() if doc.kind == kind] for kind in ("products", "handbook")}
        assert all(len(found) >= 9 for found in by_kind.values())
        reports = [doc for doc in corpus.documents() if doc.kind == corpus.REPORTS]
        assert len(reports) == 5
        for document in corpus.documents():
            assert document.title
            assert document.passages()
            assert all(not passage.text.startswith("#") for passage in document.passages())

    def test_splits_at_paragraphs(self) -> None:
        """Whole paragraphs, as many as it takes; what is left is the last part."""
        text = "# Title\n\none two\nthree\n\nfour\n\nfive six\n\nseven\n"
        assert corpus.chunks(text, 3) == ["one two three", "four five six", "seven"]

    def test_every_name_that_it_mentions_is_its_own(self) -> None:
        """The company does not exist: no address that somebody might write to."""
        for document in corpus.documents():
            assert "http" not in document.path.read_text()
            assert "@" not in document.path.read_text()


class TestIndex:
    """Search by keywords."""

    @pytest.fixture
    def index(self) -> Index:
        """An index of all products."""
        return Index([p for doc in corpus.documents() if doc.kind == corpus.PRODUCTS for p in doc.passages()])

    def test_finds_what_shares_words(self, index: Index) -> None:
        """Best first, no more than asked for."""
        found = index.search("How many lumens does the Beam 400 headlamp give?", 3)
        assert found[0].document == "products-beam-headlamp"
        assert len(found) <= 3

    @pytest.mark.parametrize("text", ["", "the of and", "xylophone zeppelin"])
    def test_finds_nothing_where_there_is_nothing(self, index: Index, text: str) -> None:
        """A text without words, or with none that occurs, has no results."""
        assert index.search(text, 5) == []


def _tools(folder: Path, errors: float) -> Tools:
    settings = Settings(llm_url="", state=folder / "faults.json", speed=0, errors=errors)
    return Tools(settings, FaultState(settings.state))


class TestTools:
    """What tools compute."""

    @pytest.mark.parametrize(
        ("tool", "question", "expected"),
        [
            ("calculator", "What are 3 * 49.90 + 4.90 euros?", "3 * 49.90 + 4.90 = 154.6"),
            ("calculator", "How much is (2 + 3) * -4?", "(2 + 3) * -4 = -20"),
            ("calculator", "How much is 7 / 0?", "7 / 0 is no expression."),
            ("calculator", "Why?", "There is nothing to calculate."),
            ("unit_converter", "How many pounds are 2.4 kg?", "2.4 kg are 5.29 lb."),
            ("unit_converter", "Is it light?", "No quantity with a unit was given."),
            ("order_status", "Where is F-20417?", "Order F-20417 is handed to the carrier;"),
            ("order_status", "Where is it?", "No order number was given"),
            ("delivery_date", "When does it come?", "An order placed today arrives on "),
        ],
    )
    def test_compute(self, tmp_path: Path, tool: str, question: str, expected: str) -> None:
        """Each finds what it needs in the text, or says that it is not there."""
        with isolated_store():
            tools = _tools(tmp_path, errors=0.0)
            assert asyncio.run(tools.call(tool, {"question": question})).startswith(expected)

    @pytest.mark.parametrize(("errors", "least", "most"), [(0.0, 0, 0), (0.5, 20, 80), (1.0, 100, 100)])
    def test_fail_by_themselves_as_often_as_told(self, tmp_path: Path, errors: float, least: int, most: int) -> None:
        """Of a hundred calls."""
        with isolated_store():
            tools = _tools(tmp_path, errors)

            async def failures() -> int:
                calls = (tools.call("delivery_date", {}) for _ in range(100))
                return sum(isinstance(told, ToolError) for told in await asyncio.gather(*calls, return_exceptions=True))

            assert least <= asyncio.run(failures()) <= most

    def test_refuse_a_name_that_is_none(self, tmp_path: Path) -> None:
        """Models make up names."""
        with isolated_store(), pytest.raises(ToolError, match="there is no tool abacus"):
            asyncio.run(_tools(tmp_path, errors=0.0).call("abacus", {}))


@pytest.mark.parametrize(
    ("question", "agent"),
    [
        ("Where is my order F-1?", "orders"),
        ("When does my parcel arrive?", "orders"),
        ("How many pounds are 2 kg?", "figures"),
        ("Which tent suits a family?", "advisor"),
    ],
)
def test_agents_are_chosen_by_the_words_of_the_question(question: str, agent: str) -> None:
    """By whole words; who has none of them gets advice."""
    assert agent_for(question) == agent


class TestPool:
    """A bounded pool."""

    def test_makes_those_wait_who_come_later(self) -> None:
        """With a leak only one connection is left; who waits too long is told so; what was leaked comes back."""

        async def use() -> list[str]:
            pool = ConnectionPool("store", 3, patience_seconds=0.01)
            await pool.leak(2)
            told = []
            async with pool.connection():
                try:
                    async with pool.connection():
                        told.append("two at once")
                except PoolTimeout as error:
                    told.append(str(error))
            await pool.leak(0)
            async with pool.connection(), pool.connection(), pool.connection():
                told.append("three at once")
            return told

        with isolated_store() as registry:
            assert asyncio.run(use()) == ["no connection to store within 0.01 s", "three at once"]
            found = {
                state: registry.get_sample_value("genai_pool_connections", {**of_store, "state": state})
                for state in ("active", "idle")
            }
            assert found == {"active": 0, "idle": 3}
            assert registry.get_sample_value("genai_pool_size", of_store) == 3


of_store = {"pool": "store", "service": "tests"}


class TestCaches:
    """The caches of a worker."""

    def test_tell_their_room_when_it_changes(self) -> None:
        """A smaller cache begins empty and says how small it is; the larger one, too."""
        labels = {"cache": "responses", "service": "tests"}
        with isolated_store() as registry:
            caches = Caches()

            def told() -> list[float | None]:
                return [
                    registry.get_sample_value(f"genai_cache_{what}", labels) for what in ("entries", "capacity_entries")
                ]

            for number in range(20):
                caches.responses["1", str(number)] = Stored("", (), ())
            assert told() == [20, RESPONSES]
            caches.limit_responses(True)
            assert told() == [0, FEW_RESPONSES]
            caches.limit_responses(False)
            assert told() == [0, RESPONSES]


def test_each_fault_names_alerts_of_ours() -> None:
    """Names as alerts have them; only what must not show has none."""
    assert [name for name, fault in CATALOGUE.items() if not fault.alerts] == ["worker_killed"]
    for fault in CATALOGUE.values():
        assert all(alert.startswith("GenAI") for alert in (*fault.alerts, *fault.follows))
        assert not set(fault.alerts) & set(fault.follows)


def test_readme_lists_all_faults() -> None:
    """Each with its alerts, and those that may follow, in the order of the catalogue."""
    text = (corpus.FOLDER.parent / "README.md").read_text()
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| `") and "POST" not in line]
    told = {row[0].strip(" `"): row[-1].strip().partition(":")[0] for row in rows if row[0].strip(" `") in CATALOGUE}
    assert told == {name: ", ".join(fault.alerts) or "none" for name, fault in CATALOGUE.items()}
    assert list(told) == list(CATALOGUE)
    follows = {row[0].strip(" `"): row[-2].strip() for row in rows if row[0].strip(" `") in CATALOGUE}
    assert follows == {name: ", ".join(sorted(fault.follows)) for name, fault in CATALOGUE.items()}
