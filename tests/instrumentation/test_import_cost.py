"""Tests of what importing the package brings along; how long it takes is measured by the benchmarks."""

from collections.abc import Callable


class TestImport:
    """An application pays at its start for what it uses, no more."""

    def test_loads_nothing_that_may_never_be_needed(self, run_python: Callable[..., str]) -> None:
        """Neither optional packages nor the slow parts of the standard library, nor prices and the reading of YAML."""
        run_python(
            """
            import sys
            import prometheus_client
            before = set(sys.modules)
            import genai_metrics
            loaded = set(sys.modules) - before
            optional = {"genai_prices", "opentelemetry", "psutil", "pydantic", "starlette", "uvicorn", "yaml"}
            slow = {"asyncio", "decimal", "difflib", "email", "ssl", "tempfile"}
            prices = {f"genai_metrics.{name}" for name in ("pricing", "pricefile", "yamlfile", "yamlvalues")}
            assert not loaded & (optional | slow | prices), loaded & (optional | slow | prices)
            """
        )

    def test_calls_whose_cost_is_given_look_up_no_price(self, run_python: Callable[..., str]) -> None:
        """With ``pricing=False`` the price table is never loaded; with prices it is, at the first call."""
        run_python(
            """
            import sys
            import genai_metrics
            genai_metrics.configure(pricing=False)
            genai_metrics.track_llm_call(model="gpt-4", input_tokens=10, output_tokens=5, cost_usd=0.5)
            assert "genai_metrics.pricing" not in sys.modules
            genai_metrics.configure()
            genai_metrics.track_llm_call(model="gpt-4", input_tokens=10, output_tokens=5)
            assert "genai_metrics.pricing" in sys.modules
            """
        )
