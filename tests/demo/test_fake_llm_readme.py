"""What the README of the fake LLM server says is so."""

import re
import shlex
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from fake_llm_process import FakeLlm

from fake_llm.__main__ import main
from fake_llm.faults import KINDS

README = (Path(__file__).parents[2] / "examples" / "fake_llm" / "README.md").read_text()
COMMANDS = re.findall(r"^\$ (curl .*?)(?=^\$|^\{|^```)", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_work(llm: FakeLlm, command: str) -> None:
    """Each call of curl, made here without curl, is answered with success."""
    words = iter(shlex.split(command)[1:])
    method, url, headers, data = None, "", {}, None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            data = next(words)
        elif word != "-s":
            url = word
    assert url.startswith("127.0.0.1:8100/")
    answer = httpx.request(
        method or ("GET" if data is None else "POST"),
        llm.url + url.removeprefix("127.0.0.1:8100"),
        headers=headers,
        content=data,
    )
    assert answer.status_code in (200, 204), answer.text


def test_there_are_commands() -> None:
    """The tests above have something to do."""
    assert len(COMMANDS) == 7


def test_options_are_those_of_the_program() -> None:
    """Each option in the table, with its default."""
    help_text = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    options = re.findall(r"^\| `(--[\w-]+) ?(\S*)`", README, re.MULTILINE)
    assert len(options) == 6
    for option, default in options:
        said = re.search(rf"{option}\b(.*?)(?= --|$)", help_text)
        assert said is not None, option
        assert not default or f"default: {default}" in said[1]


def test_faults_are_those_of_the_program() -> None:
    """Each fault with its parameters and their defaults."""
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\| (.*) \|$", README, re.MULTILINE))
    assert rows.keys() == KINDS.keys()
    for name, kind in KINDS.items():
        for key, parameter in kind.parameters.items():
            default = "" if parameter.default is None else f" {parameter.default}"
            assert re.search(rf"`{key}`{default.removesuffix('.0')}|`{key}` `{default.strip()}`", rows[name]), (
                name,
                key,
            )
