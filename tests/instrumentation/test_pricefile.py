"""Price files: what they may say, which entry counts, and errors that name file, line, key and remedy."""

from pathlib import Path

import pytest

from genai_metrics.pricefile import Price, PriceFileError, canonical_provider, load_price_file

FULL = """\
prices:
  - model: gpt-4          # exact name, or a pattern with *
    provider: openai
    input_per_1m_usd: 30
    output_per_1m_usd: 60
    cache_read_per_1m_usd: 15
    cache_write_per_1m_usd: 37.5
    reasoning_per_1m_usd:           # without a value: as output
    request_usd: 0.01
    tiers:
      - {above_input_tokens: 400000, input_per_1m_usd: 90, cache_read_per_1m_usd: 45}
      - {above_input_tokens: 200000, input_per_1m_usd: 60, output_per_1m_usd: 90}
  - model: house-*
    input_per_1m_usd: 0
    output_per_1m_usd: 1e-1
"""

PLAIN = "input_per_1m_usd: 1, output_per_1m_usd: 2"


def write(tmp_path: Path, text: str) -> Path:
    """A price file with this text."""
    path = tmp_path / "prices.yml"
    path.write_text(text)
    return path


class TestLoading:
    """A file becomes prices per token."""

    def test_every_key_counts(self, tmp_path: Path) -> None:
        """All keys, tiers in any order; a tier inherits what it does not give."""
        price = load_price_file(write(tmp_path, FULL)).find("openai", "gpt-4")
        tier_200k = Price(60e-6, 15e-6, 37.5e-6, 90e-6, 90e-6, request=0.01)
        tier_400k = Price(90e-6, 45e-6, 37.5e-6, 60e-6, 60e-6, request=0.01)
        tiers = ((200_000, tier_200k), (400_000, tier_400k))
        assert price == Price(30e-6, 15e-6, 37.5e-6, 60e-6, 60e-6, request=0.01, tiers=tiers)
        assert (price.source, price.expires_at) == ("file", None)

    def test_absent_rates_follow_input_and_output(self, tmp_path: Path) -> None:
        """Cached tokens at the input price, reasoning at the output price, also in a tier."""
        text = (
            f"prices: [{{model: m, {PLAIN}, tiers: [{{above_input_tokens: 10, input_per_1m_usd: 3}}]}}, "
            f"{{model: r, {PLAIN}, reasoning_per_1m_usd: 5}}]"
        )
        file = load_price_file(write(tmp_path, text))
        tier = Price(3e-6, 3e-6, 3e-6, 2e-6, 2e-6)
        assert file.find(None, "m") == Price(1e-6, 1e-6, 1e-6, 2e-6, 2e-6, tiers=((10, tier),))
        assert file.find(None, "r") == Price(1e-6, 1e-6, 1e-6, 2e-6, 5e-6)

    def test_free_is_said_with_zeros(self, tmp_path: Path) -> None:
        """Zero is a price."""
        text = "prices: [{model: m, input_per_1m_usd: 0, output_per_1m_usd: 0}]"
        assert load_price_file(write(tmp_path, text)).find(None, "m") == Price(0.0, 0.0, 0.0, 0.0, 0.0)

    def test_an_empty_list_prices_nothing(self, tmp_path: Path) -> None:
        """A list without entries is a valid file."""
        assert load_price_file(write(tmp_path, "prices: []")).find("openai", "gpt-4") is None


class TestFinding:
    """The first entry that matches counts."""

    @pytest.mark.parametrize(
        ("pattern", "model", "matches"),
        [
            ("gpt-4", "gpt-4", True),
            ("gpt-4", "GPT-4 ", True),
            ("GPT-4", "gpt-4", True),
            ("gpt-4", "gpt-4o", False),
            ("gpt-4", "openai/gpt-4", False),
            ("gpt-4*", "gpt-4o", True),
            ("*", "anything", True),
            ("'*/llama-*-instruct'", "meta/llama-3-instruct", True),
            ("'m[ab]'", "ma", False),
            ("'m[ab]'", "m[ab]", True),
            ("'m?'", "mx", False),
            ("'m?'", "m?", True),
            ("4.10", "4.10", True),
            ("no", "no", True),
        ],
    )
    def test_patterns(self, tmp_path: Path, pattern: str, model: str, matches: bool) -> None:
        """Only * is special, case does not count, and a name that looks like a number is a name."""
        pattern = f"'{pattern}'" if pattern.startswith("*") else pattern
        file = load_price_file(write(tmp_path, f"prices: [{{model: {pattern}, {PLAIN}}}]"))
        assert (file.find(None, model) is not None) == matches

    def test_many_stars_are_quick(self, tmp_path: Path) -> None:
        """A pattern of stars against a long name does not backtrack for ever."""
        file = load_price_file(write(tmp_path, f"prices: [{{model: {'a*' * 30}b, {PLAIN}}}]"))
        assert file.find(None, "a" * 5_000) is None

    @pytest.mark.parametrize(
        ("given", "called", "matches"),
        [
            ("openai", "openai", True),
            ("OpenAI", "openai ", True),
            ("openai", "azure.ai.openai", False),
            ("azure", "azure.ai.openai", True),
            ("google", "gcp.vertex_ai", True),
            ("gcp.vertex_ai", "gcp.gemini", False),
            ("my-gateway", "my-gateway", True),
            ("openai", None, False),
            (None, None, True),
            (None, "whoever", True),
        ],
    )
    def test_providers(self, tmp_path: Path, given: str | None, called: str | None, matches: bool) -> None:
        """An entry's provider is the call's, or genai-prices' name for it; without one it holds for all."""
        provider = f"provider: {given}, " if given else ""
        file = load_price_file(write(tmp_path, f"prices: [{{model: m, {provider}{PLAIN}}}]"))
        assert (file.find(called, "m") is not None) == matches

    def test_the_first_match_counts(self, tmp_path: Path) -> None:
        """Order decides, not exactness."""
        text = f"prices: [{{model: 'g*', {PLAIN}}}, {{model: gpt-4, input_per_1m_usd: 9, output_per_1m_usd: 9}}]"
        price = load_price_file(write(tmp_path, text)).find(None, "gpt-4")
        assert price is not None
        assert price.input == 1e-6


class TestErrors:
    """Each error names file, line and key, and says what to do."""

    @pytest.mark.parametrize(
        ("key", "says"),
        [
            (
                "input_per_1k_usd",
                "prices are per million tokens: multiply a price per thousand tokens by 1000 and write "
                "input_per_1m_usd",
            ),
            (
                "cost_per_1k_output",
                "prices are per million tokens: multiply a price per thousand tokens by 1000 and write "
                "output_per_1m_usd",
            ),
            (
                "cache_read_input_token_cost",
                "prices are per million tokens: multiply a price per token by 1000000 and write cache_read_per_1m_usd",
            ),
            (
                "output_cost_per_token",
                "prices are per million tokens: multiply a price per token by 1000000 and write output_per_1m_usd",
            ),
            ("input_usd", "did you mean 'input_per_1m_usd', US dollars per million tokens?"),
            ("output_mtok", "did you mean 'output_per_1m_usd', US dollars per million tokens?"),
            ("reasoning_per_1_000_000", "did you mean 'reasoning_per_1m_usd', US dollars per million tokens?"),
        ],
    )
    def test_a_price_by_another_unit(self, tmp_path: Path, key: str, says: str) -> None:
        """Nobody who does as told charges a thousandth of the price; tiers likewise."""
        path = write(tmp_path, f"prices:\n  - model: m\n    {key}: 30\n")
        with pytest.raises(PriceFileError) as caught:
            load_price_file(path)
        assert str(caught.value) == f"{path}:3: unknown key '{key}' in prices[0]; {says}"
        path.write_text(f"prices:\n  - {{model: m, {PLAIN}, tiers: [\n    {{above_input_tokens: 5, {key}: 1}}]}}")
        with pytest.raises(PriceFileError) as caught:
            load_price_file(path)
        assert str(caught.value) == f"{path}:3: unknown key '{key}' in prices[0].tiers[0]; {says}"

    @pytest.mark.parametrize(
        ("text", "line", "says"),
        [
            ("", 1, "missing key 'prices'"),
            ("prices:", 1, "missing key 'prices'"),
            ("price: []", 1, "unknown key 'price'; did you mean 'prices'?"),
            ("prices: {a: 1}", 1, "prices must be a list"),
            ("prices:\n  - gpt-4", 2, "prices[0] must be a mapping, not 'gpt-4'"),
            (f"prices:\n  - {{{PLAIN}}}", 2, "missing key 'model'; add it to prices[0]"),
            (f"prices:\n  - {{model: ' ', {PLAIN}}}", 2, "prices[0].model must be text, not nothing"),
            (f"prices:\n  - {{model: [a], {PLAIN}}}", 2, "prices[0].model must be text, not a list"),
            ("prices:\n  - model: m\n    inptu_per_1m_usd: 1", 3, "did you mean 'input_per_1m_usd'?"),
            ("prices:\n  - model: m\n    input_per_1m_usd: 1", 2, "missing key 'output_per_1m_usd'"),
            ("prices:\n  - model: m\n    input_per_1m_usd: -1", 3, "must be at least 0, not -1"),
            ("prices:\n  - model: m\n    input_per_1m_usd: .nan", 3, "must be a number, not '.nan'"),
            ("prices:\n  - model: m\n    input_per_1m_usd: nan", 3, "must be a number, not 'nan'"),
            ("prices:\n  - model: m\n    input_per_1m_usd: 1e999", 3, "must be a number, not '1e999'"),
            ("prices:\n  - model: m\n    input_per_1m_usd: 2e6", 3, "must be at most 1000000, not 2000000"),
            ("prices:\n  - model: m\n    input_per_1m_usd: $3", 3, "not '$3'; write 3, without a currency"),
            ("prices:\n  - model: m\n    input_per_1m_usd: '3'", 3, "write it without quotes"),
            ("prices:\n  - model: m\n    input_per_1m_usd: true", 3, "must be a number, not 'true'"),
            ("prices:\n  - model: m\n    model: n", 3, "'model' is given twice (first on line 2); remove one"),
            (f"prices:\n  - {{model: m, {PLAIN},\n     request_usd: x}}", 3, "prices[0].request_usd"),
            (
                f"prices:\n  - {{model: m, {PLAIN}, tiers: [\n    {{input_per_1m_usd: 1}}]}}",
                3,
                "missing key 'above_input_tokens'; add it to prices[0].tiers[0]",
            ),
            (
                f"prices:\n  - {{model: m, {PLAIN}, tiers: [\n    {{above_input_tokens: 1.5, input_per_1m_usd: 1}}]}}",
                3,
                "prices[0].tiers[0].above_input_tokens must be a whole number, not '1.5'",
            ),
            (
                f"prices:\n  - {{model: m, {PLAIN}, tiers: [\n    {{above_input_tokens: 5}}]}}",
                3,
                "prices[0].tiers[0] has no price",
            ),
            (
                f"prices:\n  - {{model: m, {PLAIN}, tiers: [\n    {{above_input_tokens: 5, request_usd: 1}},\n"
                "    {above_input_tokens: 5, request_usd: 2}]}",
                4,
                "a tier above 5 input tokens is given twice",
            ),
            (
                f"prices:\n  - {{model: m, {PLAIN}, tiers: [\n    {{above_input_tokens: 5, model: n}}]}}",
                3,
                "unknown key 'model' in prices[0].tiers[0]",
            ),
            ("prices:\n  - model: 'm\n", 3, "not valid YAML"),
            (
                "prices:\n  - model: */llama-*",
                2,
                "put quotes around a text that begins with *, such as '*/llama-*'",
            ),
            ("- model: m", 1, "must be a mapping"),
        ],
    )
    def test_what_is_wrong_and_where(self, tmp_path: Path, text: str, line: int, says: str) -> None:
        """The text begins with file and line."""
        path = write(tmp_path, text)
        with pytest.raises(PriceFileError) as caught:
            load_price_file(path)
        assert str(caught.value).startswith(f"{path}:{line}: ")
        assert says in str(caught.value)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        """The path and the remedy."""
        with pytest.raises(PriceFileError, match=r"nowhere\.yml: cannot be read: No such file.*check the path"):
            load_price_file(tmp_path / "nowhere.yml")


class TestCanonicalProvider:
    """Spellings in use become the names of genai-prices."""

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("azure.ai.openai", "azure"),
            ("azure-openai", "azure"),
            ("az.ai.inference", "azure"),
            (" AWS.Bedrock ", "aws"),
            ("gcp.gen_ai", "google"),
            ("x_ai", "x-ai"),
            ("Ollama", "ollama"),
        ],
    )
    def test_spellings(self, name: str, expected: str) -> None:
        """Known ones are translated, others come back in lower case."""
        assert expected == canonical_provider(name)
