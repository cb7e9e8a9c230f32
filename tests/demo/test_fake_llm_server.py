"""The fake LLM server as a program: its command line, what it makes of bad requests, and that a seed decides all."""

import json
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest
from fake_llm_process import FakeLlm, fake_llm
from hypothesis import given, settings
from hypothesis import strategies as st

QUESTION: Any = [{"role": "user", "content": "How long do caches keep answers?"}]
PASSAGES: Any = [
    {"role": "user", "content": "[1] Caches keep answers for an hour.\n\nHow long do caches keep answers?"}
]
JUDGE: Any = [{"role": "user", "content": "Give a score from 0 to 1 as JSON."}]
KEY = {"authorization": "Bearer key"}

TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool"]) | JSON, "content": TEXT | JSON},
        optional={"tool_calls": JSON},
    ),
    max_size=3,
)
REQUESTS = st.fixed_dictionaries(
    {"model": st.just("gpt-4o-mini"), "messages": st.just(QUESTION) | MESSAGES | JSON, "max_tokens": st.just(9) | JSON},
    optional={
        "stream": st.booleans() | JSON,
        "stream_options": JSON,
        "system": JSON,
        "tools": st.lists(
            st.fixed_dictionaries({"name": TEXT, "input_schema": JSON, "function": JSON}) | JSON, max_size=2
        ),
        "tool_choice": st.sampled_from(["auto", "required", "none"]) | JSON,
        "response_format": JSON,
        "input": JSON,
    },
)


def run(*options: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line to its end."""
    return subprocess.run([sys.executable, "-m", "fake_llm", *options], capture_output=True, text=True, timeout=60)


class TestCommandLine:
    """What is typed."""

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--listen", "here"], "here: not HOST:PORT, such as 127.0.0.1:0"),
            (["--listen", "127.0.0.1:99999"], "127.0.0.1:99999: not HOST:PORT"),
            (["--listen", "192.0.2.1:80"], "cannot listen on 192.0.2.1:80"),
            (["--errors", "2"], "Invalid value for '--errors'"),
        ],
    )
    def test_bad_options_are_named(self, options: list[str], said: str) -> None:
        """The option, what is wrong with it, and status 2."""
        done = run(*options)
        assert said in " ".join(done.stderr.split())
        assert done.returncode == 2

    def test_a_port_that_is_taken(self, llm: FakeLlm) -> None:
        """The address is named."""
        address = llm.url.removeprefix("http://")
        done = run("--listen", address)
        assert f"cannot listen on {address}" in " ".join(done.stderr.split())
        assert done.returncode == 2


class TestSeed:
    """The same requests in the same order."""

    @staticmethod
    def answers(seed: int, *options: str) -> list[Any]:
        """What a server of that seed answers to forty requests of all kinds, and its ledger, without times."""
        tools = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]
        bodies: list[tuple[str, Any]] = [
            ("openai/v1/chat/completions", {"model": "gpt-4o", "messages": PASSAGES}),
            ("openai/v1/chat/completions", {"model": "o4-mini", "messages": JUDGE, "stream": True}),
            ("openai/v1/chat/completions", {"model": "gpt-4o-mini", "messages": QUESTION, "tools": tools}),
            ("anthropic/v1/messages", {"model": "claude-haiku-4-5", "messages": QUESTION, "max_tokens": 90}),
        ]
        with fake_llm("--seed", str(seed), *options) as server, httpx.Client(headers=KEY) as client:
            made: list[Any] = []
            for path, body in bodies * 10:
                answer = client.post(f"{server.url}/{path}", json=body)
                made.append((answer.status_code, _without_times(answer.text)))
            return [*made, server.accounts()]

    def test_decides_everything(self) -> None:
        """Two servers of one seed answer alike, background errors included; one of another seed does not."""
        first = self.answers(7, "--errors", "0.3")
        assert first == self.answers(7, "--errors", "0.3")
        assert first != self.answers(8, "--errors", "0.3")
        assert {200, 429} < {status for status, _ in first[:-1]}

    def test_answers_do_not_depend_on_errors(self) -> None:
        """What is answered is the same, whatever became of the requests before."""
        calm = self.answers(7)[:-1]
        rough = self.answers(7, "--errors", "0.3")[:-1]
        assert [mine for mine, other in zip(calm, rough, strict=True) if other[0] == 200] == [
            each for each in rough if each[0] == 200
        ]


def _without_times(text: str) -> str:
    return "\n".join(
        line if not line.startswith(("{", "data: {")) else _timeless(line.removeprefix("data: "))
        for line in text.split("\n")
    )


def _timeless(line: str) -> str:
    found = json.loads(line)
    found.pop("created", None)
    return json.dumps(found)


class TestWaiting:
    """Latencies; only what they are at least, as a busy machine may take longer."""

    def test_speed_one_takes_as_long_as_recorded(self) -> None:
        """The first token of the first request of seed 1 comes after half a second or more, the last one later."""
        with fake_llm("--speed", "1") as server, server.openai() as client:
            began = time.monotonic()
            made: Any = client.chat.completions.create(
                model="gpt-4o-mini", messages=QUESTION, max_tokens=40, stream=True
            )
            times = [time.monotonic() - began for chunk in made if chunk.choices[0].delta.content]
        assert times[0] > 0.3
        assert times[-1] > times[0] + 0.1

    def test_models_that_think_do_so_first(self) -> None:
        """The first token comes after the time that the thoughts take."""
        with fake_llm("--speed", "10") as server, server.openai() as client:
            began = time.monotonic()
            made: Any = client.chat.completions.create(
                model="o4-mini",
                messages=QUESTION,
                reasoning_effort="high",
                stream=True,
                stream_options={"include_usage": True},
            )
            next(iter(made))
            first = time.monotonic() - began
            thoughts = list(made)[-1].usage.completion_tokens_details.reasoning_tokens
        assert thoughts > 500
        assert first > thoughts * 0.006 / 10  # 12 ms is usual for a token, 7 ms rare

    def test_the_fault_latency_adds(self, llm: FakeLlm) -> None:
        """Embeddings take longer, too."""
        llm.set_fault("latency", add_seconds=0.3)
        with llm.openai() as client:
            began = time.monotonic()
            client.embeddings.create(model="text-embedding-3-small", input="x")
            assert time.monotonic() - began >= 0.3


class TestBadRequests:
    """What no provider would answer."""

    @pytest.mark.parametrize(
        ("path", "body", "said"),
        [
            ("openai/v1/chat/completions", {"model": "m"}, "messages: a list of messages is required, not None"),
            ("openai/v1/chat/completions", {"model": "m", "messages": QUESTION, "n": 2}, "n: only 1 answer"),
            (
                "openai/v1/chat/completions",
                {"model": "m", "messages": QUESTION, "max_tokens": 0},
                "max_tokens: a whole",
            ),
            ("openai/v1/embeddings", {"model": "m", "input": []}, "input: a text, a list of texts"),
            ("anthropic/v1/messages", {"model": "m", "messages": QUESTION}, "max_tokens: Field required"),
            ("anthropic/v1/messages", {"model": "m\n", "messages": QUESTION}, "a model, a printable name"),
            ("anthropic/v1/messages", [], "a JSON object with a model"),
        ],
    )
    def test_say_what_is_wrong(self, llm: FakeLlm, path: str, body: Any, said: str) -> None:
        """Status 400, in the provider's own form."""
        answer = httpx.post(f"{llm.url}/{path}", headers=KEY, json=body)
        assert answer.status_code == 400
        assert said in answer.json()["error"]["message"]

    def test_that_name_a_model_are_in_the_ledger(self, llm: FakeLlm) -> None:
        """As errors that cost nothing."""
        httpx.post(f"{llm.url}/openai/v1/chat/completions", headers=KEY, json={"model": "m"})
        httpx.post(f"{llm.url}/openai/v1/chat/completions", headers=KEY, content=b"{")
        account = llm.account("openai/m")
        assert (account["requests"], account["errors"], account["input_tokens"]) == (1, {"400": 1}, 0)
        assert len(llm.accounts()) == 1

    @settings(max_examples=80, deadline=None)
    @given(
        body=REQUESTS,
        path=st.sampled_from(["openai/v1/chat/completions", "anthropic/v1/messages", "openai/v1/embeddings"]),
    )
    def test_never_break_the_server(self, shared_llm: FakeLlm, body: Any, path: str) -> None:
        """Whatever is sent is answered or refused, and is in the ledger as one of the two."""
        before = sum(account["requests"] for account in shared_llm.accounts().values())
        with httpx.Client(headers=KEY) as client:
            answer = client.post(f"{shared_llm.url}/{path}", content=json.dumps(body))
        assert answer.status_code in (200, 400), answer.text
        assert sum(account["requests"] for account in shared_llm.accounts().values()) == before + 1


class TestFaults:
    """Faults over HTTP."""

    def test_are_listed(self, llm: FakeLlm) -> None:
        """Each with what it does, its parameters and how long it lasts."""
        llm.set_fault("quality_drop", for_seconds=60, quality=0.25)
        faults = {fault["name"]: fault for fault in llm.request("GET", "/faults")}
        assert set(faults) == {"latency", "error_burst", "rate_limited", "provider_down", "quality_drop"}
        drop = faults["quality_drop"]
        assert drop["active"]
        assert 0 < drop["seconds_left"] <= 60
        assert drop["parameters"] == {"quality": 0.25, "provider": None}
        assert [name for name, fault in faults.items() if fault["active"]] == ["quality_drop"]

    def test_quality_drop(self, llm: FakeLlm) -> None:
        """Scores are lower than without it, of the provider that it is for."""

        def mean() -> float:
            with llm.openai() as client:
                made = [client.chat.completions.create(model="gpt-4o-mini", messages=JUDGE) for _ in range(20)]
            return sum(json.loads(each.choices[0].message.content or "")["score"] for each in made) / 20

        usual = mean()
        llm.set_fault("quality_drop", quality=0.3, provider="anthropic")
        assert mean() > 0.7
        llm.set_fault("quality_drop", quality=0.3)
        assert mean() < 0.5 < 0.7 < usual

    def test_end_when_told(self, llm: FakeLlm) -> None:
        """One by its name; ending it again does no harm."""
        llm.set_fault("error_burst")
        for _ in range(2):
            llm.request("DELETE", "/faults/error_burst")
        assert not any(fault["active"] for fault in llm.request("GET", "/faults"))

    @pytest.mark.parametrize(
        ("name", "body", "status", "said"),
        [
            ("earthquake", {"for_seconds": 5}, 404, "earthquake: no such fault; there are: latency, error_burst"),
            ("latency", {}, 400, "for_seconds: a number from 0.001 to 86400 is required, not None"),
            ("latency", {"for_seconds": 5, "faktor": 2}, 400, "'faktor': not a parameter of latency; these are:"),
            ("error_burst", {"for_seconds": 5, "share": 2}, 400, "share: a number from 0 to 1 is required, not 2"),
            (
                "provider_down",
                {"for_seconds": 5, "provider": "x"},
                400,
                "provider: one of openai, anthropic is required",
            ),
            ("latency", None, 400, "an object such as"),
        ],
    )
    def test_that_cannot_be_set_say_why(self, llm: FakeLlm, name: str, body: Any, status: int, said: str) -> None:
        """The parameter, and what it may be."""
        answer = httpx.put(f"{llm.url}/faults/{name}", json=body)
        assert answer.status_code == status
        assert said in answer.json()["error"]
        assert not any(fault["active"] for fault in llm.request("GET", "/faults"))
