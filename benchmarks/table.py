"""The README's table: the main figures of a whole run in a few rows, and where in the file it goes."""

from collections.abc import Sequence

from benchmarks import footprint, recording, scraping, stalls
from benchmarks.results import Section, number, target_text

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

_OURS = (scraping.EXPORTER, stalls.OURS, footprint.OURS_FILE, footprint.IMPORT)


def compact(machine: str, sections: Sequence[Section]) -> str:
    """The figures as Markdown; ``sections`` are those of all parts, ``machine`` what they were measured on."""
    by_title = {section.title: section for section in sections}
    record, cold = by_title[recording.TITLE], by_title[recording.COLD_TITLE]
    others = [section for section in sections if section.targets and section is not record]
    return "\n\n".join((f"{machine}.", _recording(record, cold), _others(others), _targets(sections)))


def _recording(warm: Section, cold: Section) -> str:
    """Each way to record: its time, what prometheus_client takes compared to it, and it compared to the limit."""
    lines = [
        "| recording one LLM call | ns | with cold caches | faster than prometheus_client | times the limit |",
        "|---|---:|---:|---:|---:|",
    ]
    for figure in warm.figures:
        lines.append(
            f"| {figure.name} | {number(figure.median)} | {number(cold.figure(figure.name).median)} "
            f"| {number(warm.ratio(recording.LABELS, figure.name))} x "
            f"| {number(warm.ratio(figure.name, recording.LIMIT))} |"
        )
    return "\n".join(lines)


def _others(sections: Sequence[Section]) -> str:
    """What is compared with one peer: a row each."""
    lines = ["| | ours | peer | ratio | peer |", "|---|---:|---:|---:|---|"]
    for section in sections:
        ours = next((figure for figure in section.figures if figure.name in _OURS), None)
        if ours is None:  # compared with no single peer
            continue
        peer = section.figure(section.base)
        lines.append(
            f"| {section.title} | {number(ours.median)} {section.unit} | {number(peer.median)} {section.unit} "
            f"| {number(section.ratio(peer.name, ours.name))} x | {peer.name} |"
        )
    return "\n".join(lines)


def _targets(sections: Sequence[Section]) -> str:
    """How many targets were met, and each that was missed."""
    targets = [target for section in sections for target in section.targets]
    missed = [target for target in targets if not target.met]
    if not missed:
        return f"All {len(targets)} targets are met."
    lines = [f"{len(targets) - len(missed)} of {len(targets)} targets are met. Missed:", ""]
    return "\n".join(lines + [f"- {target_text(target)}" for target in missed])


def replace(document: str, text: str) -> str:
    """``document`` with ``text`` between the two markers; raises ``ValueError`` unless each is there once, in order."""
    if document.count(BEGIN) != 1 or document.count(END) != 1 or document.index(BEGIN) > document.index(END):
        raise ValueError(f"must have the lines {BEGIN} and {END} once each, in this order: the table goes between them")
    before, _, rest = document.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{text}\n{END}{after}"
