"""Mode 3: one of three agents answers, with the tools that it has."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from anthropic.types import MessageParam, ToolResultBlockParam

from genai_metrics import operation, workflow
from genai_metrics.stages import LLM_INFERENCE
from rag_service import latency
from rag_service.answers import Answer, Asked
from rag_service.backends import Backends
from rag_service.models import AGENT, SMALL, ProviderError, Reply, Request
from rag_service.prompts import ANSWER, guide, quoted
from rag_service.quality import SAMPLED
from rag_service.simple import room
from rag_service.tools import ToolError


class AgentGaveUp(RuntimeError):
    """An agent called one tool after the other and came to no answer."""


@dataclass(frozen=True)
class _Agent:
    """What an agent is told, which tools it has, and by which words of a question it is chosen."""

    task: str
    tools: tuple[str, ...]
    words: frozenset[str]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


AGENTS = {
    "orders": _Agent(
        "Look up the order with order_status, and say what comes next.",
        ("order_status", "delivery_date"),
        _words("order orders parcel deliver delivered delivery arrive arrives track tracking shipped"),
    ),
    "figures": _Agent(
        "Work it out with calculator, and say what the figure means.",
        ("calculator", "unit_converter"),
        _words("much many price cost costs total weigh weighs weight kg pounds litres inches convert"),
    ),
    "advisor": _Agent(
        "Say what you would choose, and why.", ("unit_converter", "delivery_date", "calculator"), frozenset()
    ),
}


def agent_for(question: str) -> str:
    """Return the agent that a question is for, by its words."""
    words = _words(question.lower().replace("?", " ").replace(",", " "))
    return next((name for name, agent in AGENTS.items() if words & agent.words), "advisor")


async def run(asked: Asked, answer: Answer, backends: Backends, run: workflow) -> AsyncGenerator[str, None]:
    """Yield the answer; raises ``AgentGaveUp``, and what the provider raises."""
    agent = AGENTS[answer.agent or "advisor"]
    passages = await backends.retriever.find(asked.question, answer, most=2, needed=False)
    user = f"{agent.task}\n\n{quoted(asked.question, passages)}"
    most = room(backends, answer)
    try:
        reply = await _worked_out(agent, user, answer, backends, run)
    except ProviderError:
        # The other provider is not told of the tools: an answer from the passages alone is better than none.
        run.warning("agent_failed")
        answer.degraded.append("no_tools")
        with operation(LLM_INFERENCE):
            reply = await backends.models.complete(
                Request(backends.models.chosen(SMALL), user, ANSWER, guide(), max_tokens=most)
            )
    answer.replies.append(reply)
    if latency.fails(SAMPLED["3"]):
        backends.evaluations.later(asked.question, reply.text)
    yield reply.text[: most * 4]


async def _worked_out(agent: _Agent, user: str, answer: Answer, backends: Backends, run: workflow) -> Reply:
    """Let the model call tools until it answers."""
    messages: list[MessageParam] = [{"role": "user", "content": user}]
    reply = Reply(backends.models.chosen(AGENT))
    for _ in range(backends.settings.agent_steps):
        answer.iterations += 1
        with operation(LLM_INFERENCE):
            message = await backends.models.step(ANSWER, guide(), messages, backends.tools.offered(agent.tools))
        if message.stop_reason != "tool_use":
            reply.text = "".join(block.text for block in message.content if block.type == "text")
            return reply
        results: list[ToolResultBlockParam] = []
        for block in message.content:
            if block.type == "tool_use":
                try:
                    result, failed = await backends.tools.call(block.name, block.input), False
                except ToolError as error:
                    result, failed = str(error), True
                    run.warning("tool_failed")
                results.append({"type": "tool_result", "tool_use_id": block.id, "content": result, "is_error": failed})
        messages.append({"role": "assistant", "content": message.content})
        messages.append({"role": "user", "content": results})
    raise AgentGaveUp(f"no answer after {backends.settings.agent_steps} steps")
