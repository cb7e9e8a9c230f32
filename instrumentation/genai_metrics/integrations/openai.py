"""``instrument_openai(client)``: records every LLM call of one client of the ``openai`` library.

Imports nothing of it: the client is the user's.
"""

from typing import Any

from genai_metrics.integrations.sdk_clients import Instrumentation, instrument

_OPERATIONS = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
}

_HOSTS = {
    "openai.azure.com": "azure.ai.openai",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "services.ai.azure.com": "azure.ai.inference",
    "openrouter.ai": "openrouter",
    "api.together.xyz": "together",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
}
"""Hosts that speak OpenAI's wire format, by OpenTelemetry's names where it has one, else by genai-prices'."""


def instrument_openai(client: Any, *, provider: str | None = None) -> Instrumentation:
    """Record the calls of ``client``, an ``OpenAI``, ``AsyncOpenAI`` or Azure one; ``uninstrument()`` ends that.

    Chat completions, responses, completions and embeddings: plain, parsed, streamed, raw. Copies made of the client by
    ``with_options`` afterwards are recorded too, other clients are not. Responses, exceptions and streams are the
    library's own, unchanged. ``provider``: by default from the host, ``openai`` for those that are not known.

    Instrumenting a client again changes nothing and returns the same object. Raises ``TypeError`` for anything that is
    no client.
    """
    return instrument(client, provider or provider_of(client), _OPERATIONS)


def provider_of(client: Any) -> str:
    """Return the provider that a client talks to."""
    if any(cls.__name__ in ("AzureOpenAI", "AsyncAzureOpenAI") for cls in type(client).__mro__):
        return "azure.ai.openai"
    host = str(getattr(getattr(client, "base_url", None), "host", ""))
    return next((name for known, name in _HOSTS.items() if host == known or host.endswith(f".{known}")), "openai")
