"""Tests of the store of one process; its disks, threads and children have tests of their own."""

import logging
from pathlib import Path

import pytest

from genai_metrics.blocks import Block
from genai_metrics.catalog import FAULT_REASONS, LLM_CALL, LLM_COST, LLM_FALLBACK, RECORDER_FAULT
from genai_metrics.recorder import Recorder
from genai_metrics.settings import Settings

KEY = ("a", "b", "c")


def fault_counts(recorder: Recorder) -> dict[str, float]:
    """All counted faults by reason, zeros included."""
    return {block.key[0]: block.read()[0] for block in recorder.blocks() if block.kind is RECORDER_FAULT}


class TestBlocks:
    """From a kind and label values to a block."""

    def test_same_labels_same_block(self) -> None:
        """Equal kind and labels give the same block, anything else another."""
        recorder = Recorder(Settings())
        block = recorder.block(LLM_FALLBACK, KEY)
        assert recorder.block(LLM_FALLBACK, KEY) is block
        assert recorder.block(LLM_FALLBACK, ("a", "b", "d")) is not block
        call = recorder.block(LLM_CALL, ("a", "b", "c", "d", "e"))
        assert recorder.block(LLM_COST, call.key, call) is not call

    def test_labels_are_cleaned(self) -> None:
        """Different bad values that become the same text share a block."""
        recorder = Recorder(Settings())
        assert recorder.block(LLM_FALLBACK, ("a", None, "c")) is recorder.block(LLM_FALLBACK, ("a", "", "c"))
        assert recorder.block(LLM_FALLBACK, ("a", None, "c")).key == ("a", "unknown", "c")

    def test_wrong_number_of_labels(self) -> None:
        """A bug of ours is not papered over."""
        with pytest.raises(ValueError):
            Recorder(Settings()).block(LLM_FALLBACK, ("a", "b"))

    def test_service_is_cleaned(self) -> None:
        """The name of the service is a label value like others."""
        assert Recorder(Settings(service_name="a\nb")).service == "a\ufffdb"
        assert Recorder(Settings(service_name="")).service == "unknown"


class TestFaults:
    """Own faults and bad input."""

    def test_known_from_the_start(self) -> None:
        """Every reason is there as 0, so that the first fault shows as an increase."""
        assert fault_counts(Recorder(Settings())) == dict.fromkeys(FAULT_REASONS, 0.0)

    def test_counted_always_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """Each reason is logged for itself; the log says who warns, and where the others are counted."""
        recorder = Recorder(Settings())
        for _ in range(3):
            recorder.fault("bad_number", "first kind")
            recorder.fault("internal", "second kind")
        assert fault_counts(recorder) == {**dict.fromkeys(FAULT_REASONS, 0.0), "bad_number": 3.0, "internal": 3.0}
        messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert [message.split(" (")[0] for message in messages] == [
            "genai_metrics: first kind",
            "genai_metrics: second kind",
        ]
        assert all("genai_recorder_faults_total" in message for message in messages)


class TestTakeOver:
    """A recorder that replaces another."""

    def test_blocks_go_on(self) -> None:
        """In memory the blocks stay the same objects: who holds one still adds to it, and no counter falls."""
        first = Recorder(Settings())
        block = first.block(LLM_FALLBACK, KEY)
        block.add(0, 1.0)
        first.fault("internal", "x")
        second = Recorder(Settings(), first)
        assert second.block(LLM_FALLBACK, KEY) is block
        assert fault_counts(second)["internal"] == 1.0
        assert len(second.blocks()) == len({(b.kind, b.key) for b in second.blocks()})

    def test_latecomers_are_forwarded(self) -> None:
        """A thread that still has the old recorder gets blocks of the new one."""
        first = Recorder(Settings())
        second = Recorder(Settings(), first)
        third = Recorder(Settings(), second)
        late = first.block(LLM_FALLBACK, KEY)
        assert third.block(LLM_FALLBACK, KEY) is late

    def test_memory_moves_into_a_file(self, tmp_path: Path) -> None:
        """With a metrics directory, what was recorded before is in the file."""
        first = Recorder(Settings())
        block = first.block(LLM_FALLBACK, KEY)
        block.add(0, 1.0)
        second = Recorder(Settings(metrics_dir=tmp_path), first)
        block.add(0, 1.0)
        assert second.block(LLM_FALLBACK, KEY) is block
        assert not isinstance(block.values.obj, bytearray)
        assert block.read() == [2.0]
        second.let_go()

    def test_files_stay_files(self, tmp_path: Path) -> None:
        """What an earlier recorder put into its file stays there: the exporter sums all files."""
        first = Recorder(Settings(metrics_dir=tmp_path))
        block = first.block(LLM_FALLBACK, KEY)
        block.add(0, 1.0)
        second = Recorder(Settings(metrics_dir=tmp_path), first)
        again: Block = second.block(LLM_FALLBACK, KEY)
        assert again is not block
        assert again.read() == [0.0]
        second.let_go()

    def test_lower_cap(self) -> None:
        """Values beyond a cap that is lower now are merged; sums stay."""
        first = Recorder(Settings(label_caps={"reason": 100}))
        for i in range(5):
            first.block(LLM_FALLBACK, ("a", "b", f"r{i}")).add(0, 1.0)
        second = Recorder(Settings(label_caps={"reason": 2}), first)
        counts = {b.key[2]: b.read()[0] for b in second.blocks() if b.kind is LLM_FALLBACK}
        assert sum(counts.values()) == 5.0
        assert "__other__" in counts
        assert len(counts) <= 3
