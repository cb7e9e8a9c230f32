"""Tests of the README's table, with made-up figures."""

from dataclasses import replace as changed

from benchmarks import footprint, recording, scraping, stalls, table
from benchmarks.results import Figure, Section, Target

WARM = Section(
    recording.TITLE,
    "ns",
    (
        Figure(recording.LIMIT, (800.0, 800.0)),
        Figure(recording.FULL, (2000.0, 4000.0)),
        Figure(recording.LABELS, (30_000.0, 40_000.0)),
    ),
    recording.LABELS,
    (Target(f"{recording.FULL}: faster", 12.5, 10, "at least", " x"),),
)
COLD = Section(
    recording.COLD_TITLE,
    "ns",
    (Figure(recording.LIMIT, (9000.0,)), Figure(recording.FULL, (43_000.0,)), Figure(recording.LABELS, (148_000.0,))),
    recording.LABELS,
)
SCRAPE = Section(
    "Scrape of 7 lines",
    "ms",
    (Figure(scraping.EXPORTER, (5.0,)), Figure(scraping.FIRST, (9.0,)), Figure(scraping.GENERATE, (150.0,))),
    scraping.GENERATE,
    (Target("scrape", 30.0, 20, "at least", " x"),),
)
STALL = Section(
    "Stall",
    "ms",
    (Figure(stalls.OURS, (2.5,)), Figure(stalls.PEER, (1500.0,))),
    stalls.PEER,
    (Target(stalls.OURS, 2.5, 5, "at most", " ms"),),
)
MEMORY = Section(
    "Memory",
    "KiB",
    (Figure(footprint.OURS_FILE, (1900.0,)), Figure(footprint.PEER, (22_800.0,))),
    footprint.PEER,
    (Target(footprint.OURS_FILE, 1900, 2048, "at most", " KiB"),),
)
IMPORT = Section(
    "Import",
    "ms",
    (Figure(footprint.IMPORT, (25.0,)), Figure(footprint.IMPORT_PEER, (50.0,))),
    footprint.IMPORT_PEER,
    (Target(footprint.IMPORT, 25, 60, "at most", " ms"),),
)
ALL = (WARM, COLD, SCRAPE, STALL, changed(STALL, title="Stall, processor time", targets=()), MEMORY, IMPORT)


class TestCompact:
    """From the figures of a run to Markdown."""

    def test_recording_has_times_and_ratios(self) -> None:
        """Medians warm and cold, prometheus_client to it, and it to the limit; ratios within rounds."""
        lines = table.compact("a machine", ALL).splitlines()
        assert lines[0] == "a machine."
        assert f"| {recording.FULL} | 3 000 | 43 000 | 12.5 x | 3.75 |" in lines
        assert f"| {recording.LABELS} | 35 000 | 148 000 | 1 x | 43.8 |" in lines

    def test_others_have_a_row_each(self) -> None:
        """Ours, the peer and the ratio, in the section's unit; sections without targets are detail and left out."""
        lines = table.compact("a machine", ALL).splitlines()
        assert f"| Scrape of 7 lines | 5 ms | 150 ms | 30 x | {scraping.GENERATE} |" in lines
        assert f"| Stall | 2.5 ms | 1 500 ms | 600 x | {stalls.PEER} |" in lines
        assert f"| Memory | 1 900 KiB | 22 800 KiB | 12 x | {footprint.PEER} |" in lines
        assert f"| Import | 25 ms | 50 ms | 2 x | {footprint.IMPORT_PEER} |" in lines
        assert "processor time" not in "\n".join(lines)

    def test_says_when_all_targets_are_met(self) -> None:
        """One sentence is enough."""
        assert table.compact("a machine", ALL).endswith("\n\nAll 5 targets are met.")

    def test_names_what_was_missed(self) -> None:
        """A missed target is never hidden."""
        missed = Target("scrape", 11.0, 20, "at least", " x")
        text = table.compact("a machine", (WARM, COLD, changed(SCRAPE, targets=(missed,))))
        assert text.endswith("1 of 2 targets are met. Missed:\n\n- scrape: 11 x (at least 20 x)")


def test_replaces_what_is_between_the_markers() -> None:
    """Text before and after stays as it is; a second run replaces the first."""
    once = table.replace(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n", "new")
    assert once == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"
    assert table.replace(once, "newer") == once.replace("new", "newer")
