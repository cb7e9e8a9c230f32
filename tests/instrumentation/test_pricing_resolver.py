"""A resolver finds models by many spellings, prefers the price file and survives whatever is missing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import genai_prices
import pytest
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, Provider

from genai_metrics.pricing import Price, PriceResolver, warm_up

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC).timestamp()


def cost(price: Price) -> float:
    """Cost of 1 000 input tokens, 200 of them from the cache and 100 into it, and 500 output tokens."""
    return 700 * price.input + 200 * price.cache_read + 100 * price.cache_write + 500 * price.output + price.request


def expected_cost(model: str, provider: str) -> float:
    """The same from genai-prices."""
    usage = genai_prices.Usage(input_tokens=1_000, cache_read_tokens=200, cache_write_tokens=100, output_tokens=500)
    at = datetime.fromtimestamp(NOW, UTC)
    found = genai_prices.calc_price(usage, model, provider_id=provider, genai_request_timestamp=at)
    return float(found.total_price)


@contextmanager
def only(model: ModelInfo) -> Iterator[None]:
    """Let genai-prices know nothing but ``model``, of a provider ``p``."""
    provider = Provider(id="p", name="P", api_pattern="p", models=[model])
    set_custom_snapshot(DataSnapshot(providers=[provider], from_auto_update=False))
    try:
        yield
    finally:
        set_custom_snapshot(None)


@pytest.fixture
def faults() -> list[tuple[str, str]]:
    """Faults that a resolver told."""
    return []


@pytest.fixture
def resolver(faults: list[tuple[str, str]]) -> PriceResolver:
    """A resolver without price file."""
    return PriceResolver(on_fault=lambda reason, message: faults.append((reason, message)))


class TestNames:
    """Providers and models are found as people and conventions spell them."""

    @pytest.mark.parametrize(
        ("spelling", "provider", "model"),
        [
            ("openai", "openai", "gpt-4o"),
            ("anthropic", "anthropic", "claude-sonnet-4-20250514"),
            ("aws.bedrock", "aws", "amazon.nova-pro-v1:0"),
            ("aws.bedrock", "aws", "us.anthropic.claude-sonnet-4-20250514-v1:0"),
            ("azure.ai.openai", "azure", "gpt-35-turbo"),
            ("azure.ai.inference", "azure", "gpt-4o"),
            ("cohere", "cohere", "command-r-plus"),
            ("deepseek", "deepseek", "deepseek-chat"),
            ("gcp.gemini", "google", "gemini-2.5-pro"),
            ("gcp.gen_ai", "google", "gemini-2.5-pro"),
            ("gcp.vertex_ai", "google", "claude-sonnet-4@20250514"),
            ("groq", "groq", "llama-3.1-8b-instant"),
            ("mistral_ai", "mistral", "mistral-large-latest"),
            ("moonshot_ai", "moonshotai", "kimi-k2-0711-preview"),
            ("perplexity", "perplexity", "sonar"),
            ("x_ai", "x-ai", "grok-4"),
            ("OpenAI ", "openai", "GPT-4o"),
            ("bedrock", "aws", "amazon.nova-pro-v1:0"),
            ("azure_openai", "azure", "gpt-4o"),
            ("vertex_ai", "google", "gemini-2.5-pro"),
            ("xai", "x-ai", "grok-4"),
        ],
    )
    def test_provider_spellings(self, resolver: PriceResolver, spelling: str, provider: str, model: str) -> None:
        """Each provider name of OpenTelemetry, and some of LiteLLM, is the right one of genai-prices."""
        price = resolver.resolve(spelling, model, NOW)
        assert price is not None
        assert cost(price) == pytest.approx(expected_cost(model, provider), rel=1e-12)

    def test_azure_is_not_openai(self, resolver: PriceResolver) -> None:
        """A model that only Azure lists has a price at Azure and none at OpenAI."""
        assert resolver.resolve("azure.ai.openai", "phi-4") is not None
        assert resolver.resolve("openai", "phi-4") is None

    @pytest.mark.parametrize(
        ("provider", "model", "as_provider", "as_model"),
        [
            (None, "gpt-4", "openai", "gpt-4"),
            ("unknown", "gpt-4", "openai", "gpt-4"),
            ("", "claude-sonnet-4-20250514", "anthropic", "claude-sonnet-4-20250514"),
            (None, "openai/gpt-4o", "openai", "gpt-4o"),
            ("openai", "openai/gpt-4o", "openai", "gpt-4o"),
            ("litellm", "groq/llama-3.1-8b-instant", "groq", "llama-3.1-8b-instant"),
            (None, "azure/gpt-4o", "azure", "gpt-4o"),
            ("azure.ai.inference", "openai/gpt-4o", "azure", "gpt-4o"),
            (None, "gemini/gemini-2.5-pro", "google", "gemini-2.5-pro"),
            (None, "google/gemini-2.5-pro", "google", "gemini-2.5-pro"),
            (None, "models/gemini-2.5-pro", "google", "gemini-2.5-pro"),
            ("gcp.gemini", "models/gemini-2.5-pro", "google", "gemini-2.5-pro"),
            (
                "gcp.vertex_ai",
                "projects/p/locations/eu/publishers/anthropic/models/claude-sonnet-4@20250514",
                "google",
                "claude-sonnet-4@20250514",
            ),
            (None, "amazon.nova-pro-v1:0", "aws", "amazon.nova-pro-v1:0"),
            (
                None,
                "us.anthropic.claude-sonnet-4-20250514-v1:0",
                "aws",
                "us.anthropic.claude-sonnet-4-20250514-v1:0",
            ),
            (
                None,
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0",
                "aws",
                "us.anthropic.claude-sonnet-4-20250514-v1:0",
            ),
            ("openrouter", "anthropic/claude-3.5-sonnet", "openrouter", "anthropic/claude-3.5-sonnet"),
            ("openai", "ft:gpt-4o-2024-08-06:org::id", "openai", "ft:gpt-4o-2024-08-06:org::id"),
            ("openai", "gpt-4o-mini-2024-07-18", "openai", "gpt-4o-mini-2024-07-18"),
        ],
    )
    def test_model_spellings(
        self, resolver: PriceResolver, provider: str | None, model: str, as_provider: str, as_model: str
    ) -> None:
        """Prefixes, dates, regions and resource names lead to the model they name."""
        price = resolver.resolve(provider, model, NOW)
        assert price is not None
        assert cost(price) == pytest.approx(expected_cost(as_model, as_provider), rel=1e-12)

    @pytest.mark.parametrize(
        ("provider", "model"),
        [
            ("ollama", "gpt-4o"),
            ("my-gateway", "gpt-4o"),
            ("ibm.watsonx.ai", "gpt-4o"),
            ("openai", "claude-sonnet-4-20250514"),
            ("anthropic", "openai/gpt-4o"),
            ("azure", "my-deployment"),
            ("elevenlabs", "eleven_v3"),
            ("gcp.vertex_ai", "gemma-3-27b-it"),
            ("openrouter", "stealth/crouton-alpha"),
            (None, "google/gemma-3-27b-it"),
            (None, "mistralai/Mixtral-8x7B-Instruct-v0.1"),
            (None, "my-own-model"),
            (None, ""),
            (None, "/"),
            ("openai", "\x00" * 1_000),
        ],
    )
    def test_unknown_is_unknown(
        self, resolver: PriceResolver, faults: list[tuple[str, str]], provider: str | None, model: str
    ) -> None:
        """Neither another provider's price nor zero."""
        assert resolver.resolve(provider, model) is None
        assert faults == []

    def test_free_models_are_free(self, resolver: PriceResolver) -> None:
        """A model that genai-prices calls free has the price 0, which is known."""
        price = resolver.resolve("openrouter", "deepseek/deepseek-r1:free")
        assert price is not None
        assert cost(price) == 0.0


class TestPriceFileFirst:
    """The user's file beats genai-prices; a broken file does not take genai-prices away."""

    def test_the_file_wins_and_the_rest_comes_from_genai_prices(
        self, tmp_path: Path, faults: list[tuple[str, str]]
    ) -> None:
        """The listed model costs what the file says, another what genai-prices says."""
        path = tmp_path / "prices.yml"
        path.write_text("prices: [{model: gpt-4, input_per_1m_usd: 7, output_per_1m_usd: 8}]")
        resolver = PriceResolver(path, on_fault=lambda *fault: faults.append(fault))
        own = resolver.resolve("openai", "gpt-4")
        other = resolver.resolve("openai", "gpt-4o")
        assert own == Price(7e-6, 7e-6, 7e-6, 8e-6, 8e-6)
        assert other is not None
        assert other.source == "genai-prices"
        assert faults == []

    def test_a_broken_file_is_told_once(self, tmp_path: Path, faults: list[tuple[str, str]]) -> None:
        """One fault that names file and line; genai-prices still answers."""
        path = tmp_path / "prices.yml"
        path.write_text("prices:\n  - modell: gpt-4\n")
        resolver = PriceResolver(path, on_fault=lambda *fault: faults.append(fault))
        assert resolver.resolve("openai", "gpt-4") is not None
        assert resolver.resolve("openai", "gpt-4o") is not None
        assert faults == [("price_file", f"{path}:2: unknown key 'modell' in prices[0]; did you mean 'model'?")]


class TestFailures:
    """Nothing that is missing or broken raises into the caller."""

    def test_without_genai_prices_the_price_file_still_works(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: list[tuple[str, str]]
    ) -> None:
        """One fault with the remedy; everything that is not in the file is unknown."""
        for name in ("genai_prices", "genai_prices.data_snapshot"):
            monkeypatch.setitem(sys.modules, name, None)
        path = tmp_path / "prices.yml"
        path.write_text("prices: [{model: mine, input_per_1m_usd: 7, output_per_1m_usd: 8}]")
        resolver = PriceResolver(path, on_fault=lambda *fault: faults.append(fault))
        warm_up()
        assert resolver.resolve(None, "mine") is not None
        assert faults == []
        assert resolver.resolve("openai", "gpt-4o") is None
        assert resolver.resolve("openai", "gpt-4") is None
        assert [reason for reason, _ in faults] == ["price_data"]
        assert 'pip install "genai-exporter[prices]"' in faults[0][1]

    def test_broken_price_data_is_a_fault(self, resolver: PriceResolver, faults: list[tuple[str, str]]) -> None:
        """A failure inside genai-prices is told, not raised."""
        broken = ModelPrice(input_mtok="cheap")  # type: ignore[arg-type]
        with only(ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=broken)):
            assert resolver.resolve("p", "m") is None
        assert [reason for reason, _ in faults] == ["price_data"]
        assert "'m'" in faults[0][1]

    def test_a_raising_fault_handler_is_survived(self, tmp_path: Path) -> None:
        """The handler is the recorder's, and must not break the call that is priced."""

        def broken(reason: str, message: str) -> None:
            raise RuntimeError(reason)

        resolver = PriceResolver(tmp_path / "missing.yml", on_fault=broken)
        assert resolver.resolve("openai", "gpt-4") is not None

    def test_a_model_without_any_table_is_unknown(self, resolver: PriceResolver, faults: list[tuple[str, str]]) -> None:
        """An empty list of prices is not a fault and not free."""
        with only(ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=[])):
            assert resolver.resolve("p", "m") is None
        assert faults == []


class TestDataAge:
    """The age is that of the unpacked data file."""

    def test_age_is_time_since_the_data_was_unpacked(self, resolver: PriceResolver) -> None:
        """Seconds between the file's modification time and now; never negative."""
        unpacked = (Path(genai_prices.__file__).parent / "data.py").stat().st_mtime
        assert resolver.data_age_seconds(unpacked + 86_400) == pytest.approx(86_400)
        assert resolver.data_age_seconds(unpacked - 5) == 0.0

    @pytest.mark.parametrize("mtime", [0, 315_532_800])
    def test_a_made_up_file_time_is_unknown(
        self, resolver: PriceResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mtime: int
    ) -> None:
        """Reproducible builds set every file to 1970 or 1980: no age is better than one of half a century."""
        package = tmp_path / "genai_prices"
        package.mkdir()
        for name in ("__init__.py", "data.py"):
            (package / name).write_text("")
            os.utime(package / name, (mtime, mtime))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "genai_prices")
        assert resolver.data_age_seconds() is None

    def test_without_genai_prices_there_is_no_age(
        self, resolver: PriceResolver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing installed, nothing said."""
        monkeypatch.setitem(sys.modules, "genai_prices", None)
        assert resolver.data_age_seconds() is None


def run_python(code: str) -> None:
    """Run code in a fresh interpreter; fail with its output when it fails."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


class TestImports:
    """Heavy modules are loaded when needed, and the network never."""

    def test_nothing_heavy_is_imported_before_it_is_needed(self) -> None:
        """Importing, constructing and asking the age load neither genai-prices, pydantic nor yaml."""
        run_python(
            "import sys\n"
            "from genai_metrics.pricing import PriceResolver\n"
            "assert PriceResolver().data_age_seconds() is not None\n"
            "assert not {'genai_prices', 'pydantic', 'yaml'} & set(sys.modules)\n"
        )

    def test_warm_up_loads_the_data(self) -> None:
        """After ``warm_up`` the price data is in memory."""
        run_python(
            "import sys\n"
            "from genai_metrics.pricing import warm_up\n"
            "warm_up()\n"
            "assert 'genai_prices.data' in sys.modules\n"
        )

    def test_no_socket_is_ever_connected(self) -> None:
        """Resolving known and unknown models opens no connection and resolves no host name."""
        run_python(
            "import sys\n"
            "seen = []\n"
            "sys.addaudithook(lambda name, args: seen.append(name) if name.startswith('socket.') else None)\n"
            "from genai_metrics.pricing import PriceResolver, warm_up\n"
            "warm_up()\n"
            "assert PriceResolver().resolve('openai', 'gpt-4') is not None\n"
            "assert PriceResolver().resolve('nobody', 'nothing') is None\n"
            "assert not [name for name in seen if name != 'socket.__new__'], seen\n"
        )
