"""``instrument_anthropic(client)``: records every message of one client of the ``anthropic`` library.

Imports nothing of it: the client is the user's.
"""

from typing import Any

from genai_metrics.integrations.sdk_clients import Instrumentation, instrument

_OPERATIONS = {"/v1/messages": "chat", "/v1/complete": "text_completion"}

_PROVIDERS = (("Bedrock", "aws.bedrock"), ("Vertex", "gcp.vertex_ai"), ("Foundry", "azure.ai.inference"))
"""By what the name of the client's class contains."""


def instrument_anthropic(client: Any, *, provider: str | None = None) -> Instrumentation:
    """Record the calls of ``client``, an ``Anthropic``, ``AsyncAnthropic``, Bedrock or Vertex one.

    ``messages.create``, ``messages.parse`` and ``messages.stream``, also under ``beta``: plain, streamed, raw. Input
    tokens include what was read from and written to the prompt cache, which Anthropic's own number leaves out. For the
    rest as ``instrument_openai``.
    """
    return instrument(client, provider or provider_of(client), _OPERATIONS)


def provider_of(client: Any) -> str:
    """Return the provider that a client talks to."""
    names = [cls.__name__ for cls in type(client).__mro__]
    return next((name for part, name in _PROVIDERS if any(part in each for each in names)), "anthropic")
