"""Tests of what is said of price files beside what applications refuse."""

import subprocess
import sys
from pathlib import Path

import pytest
from check_runs import check

PRICES = "prices:\n  - model: m\n    provider: NAME\n    input_per_1m_usd: 1\n    output_per_1m_usd: 1\n"
NOTE = (
    "p.yml:3: prices[0].provider: no provider is known as {!r}; did you mean {!r}? The price holds only for calls "
    "whose provider is {!r}"
)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("opneai", "openai"), ("Antrhopic", "anthropic"), ("gcp.vertexai", "gcp.vertex_ai"), ("mistrall", "mistral")],
)
def test_a_misspelt_provider_is_noted(tmp_path: Path, name: str, meant: str) -> None:
    """Not refused: it may be the name of somebody's gateway."""
    path = tmp_path / "p.yml"
    path.write_text(PRICES.replace("NAME", name))
    done = check(path)
    assert (done.code, done.problems, done.notes) == (0, [], [NOTE.format(name, meant, name)])


@pytest.mark.parametrize("name", ["openai", "OpenAI", "azure.ai.openai", "gcp.gemini", "my-gateway", "ollama", "x-ai"])
def test_others_are_not(tmp_path: Path, name: str) -> None:
    """Known names in any spelling, and names of one's own."""
    path = tmp_path / "p.yml"
    path.write_text(PRICES.replace("NAME", name))
    done = check(path)
    assert (done.code, done.problems, done.notes) == (0, [], [])


def test_without_genai_prices(tmp_path: Path) -> None:
    """The spellings that this package knows itself are compared."""
    path = tmp_path / "p.yml"
    path.write_text(PRICES.replace("NAME", "opneai"))
    code = (
        "import sys; sys.modules['genai_prices'] = None; sys.argv = ['genai-exporter', 'check', sys.argv[1]]; "
        "from genai_exporter.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "did you mean 'openai'?" in done.stdout
