"""How applications use the package, and how they must not: read by mypy, never run.

Each misuse carries the error that the type checker has to report; one that it no longer reports is an unused comment,
which is an error as well.
"""

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import assert_type

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Mount

from genai_metrics import (
    asgi_app,
    configure,
    llm_call_in_flight,
    track_llm_call,
    track_llm_fallback,
    warm_up,
    wsgi_app,
)


class Mode(StrEnum):
    """Text enumerations are text."""

    RAG = "rag"


def usage(tokens: int, seconds: float, tenant: str | None) -> None:
    """What is right."""
    configure()
    configure(metrics_dir="/var/lib/genai", service_name="rag", label_caps={"tenant": 100})
    configure(metrics_dir=Path("/var/lib/genai"), price_file=Path("prices.yaml"), pricing=False)
    configure(registry=CollectorRegistry())
    warm_up()

    track_llm_call()
    track_llm_call(
        mode="1",
        model="gpt-4",
        input_tokens=1000,
        output_tokens=500,
        cached=False,
        cost_per_1k_input=0.03,
        cost_per_1k_output=0.06,
    )
    track_llm_call(
        mode=Mode.RAG,
        provider="openai",
        operation="chat",
        tenant=tenant,
        input_tokens=tokens,
        cached_input_tokens=tokens,
        cache_write_tokens=0,
        output_tokens=2.5,
        reasoning_tokens=1,
        duration=seconds,
        time_to_first_token=None,
        error_type=None,
        cost_usd=1,
        retries=1,
        retry_reason="429",
        estimated=True,
    )
    track_llm_fallback(from_model="a", to_model="b", reason="429")
    with llm_call_in_flight(mode="1", model="gpt-4") as nothing:
        assert_type(nothing, None)

    @llm_call_in_flight(model="gpt-4")
    def ask(question: str) -> int:
        return len(question)

    assert_type(ask("?"), int)

    Starlette(routes=[Mount("/metrics", app=asgi_app())])
    answer: Iterable[bytes] = wsgi_app("/metrics", born_at_zero_seconds=0)({}, lambda status, headers: None)
    assert_type(list(answer), list[bytes])


def misuse() -> None:
    """What the type checker has to find."""
    track_llm_call("1", "gpt-4")  # type: ignore[call-arg]
    track_llm_call(modell="gpt-4")  # type: ignore[call-arg]
    track_llm_call(model=None)  # type: ignore[arg-type]
    track_llm_call(model=b"gpt-4")  # type: ignore[arg-type]
    track_llm_call(input_tokens="1000")  # type: ignore[arg-type]
    track_llm_call(input_tokens=None)  # type: ignore[arg-type]
    track_llm_call(cost_usd=Decimal("0.1"))  # type: ignore[arg-type]
    track_llm_call(cached="yes")  # type: ignore[arg-type]
    track_llm_call(retries=1.5)  # type: ignore[arg-type]
    track_llm_call(tenant=7)  # type: ignore[arg-type]
    track_llm_fallback(from_model="a")  # type: ignore[call-arg]
    llm_call_in_flight("rag")  # type: ignore[call-arg]
    configure("/var/lib/genai")  # type: ignore[call-arg]
    configure(metrics_dir=7)  # type: ignore[arg-type]
    configure(label_caps={"tenant": "many"})  # type: ignore[dict-item]
    configure(label_caps=[("tenant", 5)])  # type: ignore[arg-type]
    asgi_app(registry=None)  # type: ignore[arg-type]
    wsgi_app(7)  # type: ignore[arg-type]
