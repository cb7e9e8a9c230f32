"""Judges what files of Alertmanager's secrets hold, by its form alone; never repeats it."""

from pathlib import Path

_PAGERDUTY_KEYS = ("routing_key_file", "service_key_file")
_PAGERDUTY_LENGTH = 32
_LONGEST = 64 * 1024


def secret_fault(key: str, path: Path) -> str | None:
    """Say in words what is wrong with the file that ``key`` names; None for nothing, or when it cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST).decode(errors="replace").strip()
    except OSError:
        return None  # Alertmanager may be another user, who can
    if key in _PAGERDUTY_KEYS and len(text) != _PAGERDUTY_LENGTH:
        return (
            f"holds {len(text)} characters, but an integration key of PagerDuty has {_PAGERDUTY_LENGTH}; copy it from "
            "the service's Integrations"
        )
    if key.endswith("url_file") and (not text.startswith(("http://", "https://")) or len(text.split()) > 1):
        return "must hold one address that begins with https://; copy it again"
    return None
