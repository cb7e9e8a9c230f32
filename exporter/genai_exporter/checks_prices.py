"""Judges price files: what applications would refuse, and providers that are probably misspelt.

genai-prices, whose providers are known then, need not be installed.
"""

from difflib import get_close_matches
from pathlib import Path

from genai_exporter.checks_findings import Findings, line_of
from genai_metrics import yamlfile
from genai_metrics.pricefile import PROVIDER_SPELLINGS, canonical_provider, load_price_file
from genai_metrics.yamlvalues import Section

# As near as `opneai` is to `openai`; gateways have names of their own.
_NEAR = 0.8


def judge(path: Path, findings: Findings) -> None:
    """Judge one file."""
    with findings.collecting(path):
        load_price_file(path)
        for section in yamlfile.read(path).sections("prices"):
            if section.has("provider"):
                _judge_provider(section, findings)


def _judge_provider(section: Section, findings: Findings) -> None:
    given = section.text("provider")
    name = given.strip().lower()
    known = _known()
    meant = get_close_matches(name, known, n=1, cutoff=_NEAR)
    if meant and canonical_provider(name) not in known:
        findings.note(
            section.path,
            line_of(section, "provider"),
            f"{section.key}.provider: no provider is known as {given!r}; did you mean {meant[0]!r}? The price "
            f"holds only for calls whose provider is {given!r}",
        )


def _known() -> frozenset[str]:
    names = frozenset((*PROVIDER_SPELLINGS, *PROVIDER_SPELLINGS.values()))
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        return names
    return names.union(provider.id for provider in get_snapshot().providers)
