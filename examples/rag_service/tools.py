"""The tools that agents may call: real computations, and an order database that is a stand-in.

Models hand over what the user said rather than neat arguments, so each tool finds what it needs in a text.
Imports ``genai_metrics`` and the standard library.
"""

import ast
import operator
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from anthropic.types import ToolParam

from genai_metrics import tool_call
from rag_service import latency
from rag_service.settings import Settings
from rag_service.state import FaultState

_FAULT_SHARE = 0.5
_ORDER_SECONDS = 0.045
_STATES = ("packed", "handed to the carrier", "in delivery", "delivered")
_OPERATORS: Mapping[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}
_UNITS = {
    "kg": (2.20462, "lb"), "lb": (0.453592, "kg"), "g": (0.035274, "oz"), "oz": (28.3495, "g"),
    "cm": (0.393701, "in"), "in": (2.54, "cm"), "m": (3.28084, "ft"), "ft": (0.3048, "m"),
    "l": (33.814, "fl oz"), "km": (0.621371, "mi"), "mi": (1.60934, "km"), "wh": (0.0036, "MJ"),
}  # fmt: skip


class ToolError(RuntimeError):
    """A tool could not do its work; the agent is told so and goes on."""


@dataclass(frozen=True)
class _Tool:
    """A tool as the model sees it, and what it does."""

    description: str
    run: Callable[[str], Awaitable[str]]


class Tools:
    """All tools by name. One event loop."""

    def __init__(self, settings: Settings, faults: FaultState) -> None:
        self._speed = settings.speed
        self._errors = settings.errors
        self._faults = faults
        self._tools = {
            "order_status": _Tool("State of an order, by its number such as F-20417.", self._order_status),
            "delivery_date": _Tool("Day on which an order that is placed today arrives.", _delivery_date),
            "calculator": _Tool("Result of an arithmetic expression such as 3 * 49.90 + 4.90.", _calculator),
            "unit_converter": _Tool("A quantity such as 2.4 kg in the other system of units.", _unit_converter),
        }

    def offered(self, names: tuple[str, ...]) -> list[ToolParam]:
        """Return tools as the provider wants them described."""
        schema = {"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]}
        return [
            {"name": name, "description": self._tools[name].description, "input_schema": dict(schema)} for name in names
        ]

    async def call(self, name: str, arguments: Any) -> str:
        """Return a tool's result; raises ``ToolError``."""
        with tool_call(name):
            if name not in self._tools:
                raise ToolError(f"there is no tool {name}")
            if latency.fails(_FAULT_SHARE if self._faults.is_on("tool_failures") else self._errors):
                await latency.take(_ORDER_SECONDS, self._speed)
                raise ToolError(f"{name} does not answer")
            text = arguments.get("question", "") if isinstance(arguments, Mapping) else ""
            return await self._tools[name].run(str(text))

    async def _order_status(self, text: str) -> str:
        await latency.take(_ORDER_SECONDS, self._speed)
        found = re.search(r"\bF-?(\d{4,6})\b", text)
        if found is None:
            return "No order number was given; it stands on the invoice and begins with F."
        number = int(found[1])
        parcel = zlib.crc32(found[1].encode()) % 10**8
        return f"Order F-{number} is {_STATES[number % len(_STATES)]}; its parcel has the number {parcel:08d}."


async def _delivery_date(text: str) -> str:
    days = 2 if "express" in text.lower() else 4
    day = date.today()
    while days:
        day += timedelta(days=1)
        days -= day.weekday() < 5
    return f"An order placed today arrives on {day:%A, %d %B %Y}."


async def _calculator(text: str) -> str:
    found = max(re.findall(r"[\d(][\d\s.+*/()-]*[\d)]", text), key=len, default="")
    if not found:
        return "There is nothing to calculate."
    try:
        return f"{found.strip()} = {_value(ast.parse(found.strip(), mode='eval').body):g}"
    except (SyntaxError, ValueError, ArithmeticError):
        return f"{found.strip()} is no expression."


def _value(node: ast.AST) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
    raise ValueError("not arithmetic")


async def _unit_converter(text: str) -> str:
    found = re.search(r"(\d+(?:\.\d+)?)\s*(kg|lb|g|oz|cm|in|km|mi|m|ft|l|wh)\b", text.lower())
    if found is None:
        return "No quantity with a unit was given."
    factor, unit = _UNITS[found[2]]
    return f"{found[1]} {found[2]} are {float(found[1]) * factor:.3g} {unit}."
