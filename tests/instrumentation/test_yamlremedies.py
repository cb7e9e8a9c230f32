"""What to write instead of a text that is not a number."""

import pytest

from genai_metrics.yamlremedies import number_meant


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("$30", "write 30, without a currency"),
        ("-$30", "write -30, without a currency"),
        ("30.5 USD", "write 30.5, without a currency"),
        (".5 €", "write .5, without a currency"),
        ("3,000", "write 3000, without thousands separators"),
        ("$1,234,567.50", "write 1234567.50, without thousands separators and currency"),
        ("12 000", "write 12000, without thousands separators"),
        ("3,5", "write 3.5, with a decimal point"),
        ("0,005", "write 0.005, with a decimal point"),
    ],
)
def test_a_number_that_was_meant(text: str, says: str) -> None:
    """Signs and separators that people write; a leading zero makes the comma a decimal one."""
    assert number_meant(text) == says


@pytest.mark.parametrize("text", ["", "x", "$", "5%", "30s", "1,2,3", "3.000,5", "10 20", "1.2.3", "30"])
def test_what_is_unclear_is_not_guessed(text: str) -> None:
    """Nothing is said."""
    assert number_meant(text) == ""
