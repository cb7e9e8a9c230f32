"""What to write instead of what a YAML file has; imported when an error is told, imports the standard library only."""

import re

_CURRENCY = re.compile(r"(?:us)?[$€£]|usd|eur", re.IGNORECASE)
# 3,000 and 1 000 000.5; a leading 0 makes the comma a decimal one.
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:([,' ])\d{3})(?:\1\d{3})*(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"\d+,\d+")


def number_meant(text: str) -> str:
    """Say in words, ``write 3000, …``, which number was probably meant by a text that is none; empty if unclear."""
    bare = _CURRENCY.sub("", text).strip()
    sign, digits = ("-", bare[1:]) if bare.startswith("-") else ("", bare)
    if _GROUPED.fullmatch(digits):
        number = re.sub("[,' ]", "", digits)
        return f"write {sign}{number}, without thousands separators" + " and currency" * (bare != text.strip())
    if _DECIMAL_COMMA.fullmatch(digits):
        return f"write {sign}{digits.replace(',', '.')}, with a decimal point"
    if bare != text.strip() and re.fullmatch(r"\d+\.?\d*|\.\d+", digits):
        return f"write {bare}, without a currency"
    return ""


def syntax(problem: str, context: str) -> str:
    """Say in words what mends what PyYAML found, from the two parts of its message."""
    begins = "*" if "alias" in problem or "an alias" in context else ""
    if found := re.match(r"found character '(.)' that cannot start any token", problem):
        begins = found[1]
    if begins == "*":
        return "put quotes around a text that begins with *, such as '*/llama-*'"
    if begins in ("@", "`", "%"):
        return f"put quotes around a text that begins with {begins}"
    return "check indentation, colons and quotes"
