"""Tests of what another process finds in a block file: of a killed writer, and of one that is writing."""

import os
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from genai_metrics.blockfile import decode_key, parse_blocks, parse_header
from genai_metrics.catalog import LLM_STREAM

if TYPE_CHECKING:
    from conftest import Metrics

# Two doubles that differ in each byte: a mixture of the two, or of one and nothing, is neither.
PATTERNS = (struct.unpack("=d", b"\x31" * 8)[0], struct.unpack("=d", b"\x32" * 8)[0])


def test_killed_in_mid_stream(metrics: "Metrics", run_python: Callable[..., str]) -> None:
    """Of 40 processes killed with SIGKILL, each left every call that it had returned from, and at most one more."""
    out = run_python(
        """
        import mmap, os, random, signal, sys, time
        from genai_metrics import configure, track_llm_call

        configure(metrics_dir=sys.argv[1], price_file=sys.argv[2])
        track_llm_call(model="gpt-4")  # loads what is loaded late
        chance = random.Random(1)
        for _ in range(40):
            acknowledged = memoryview(mmap.mmap(-1, 8)).cast("Q")
            child = os.fork()
            if not child:
                while True:
                    track_llm_call(
                        model="gpt-4",
                        tenant="t",
                        input_tokens=7,
                        output_tokens=3,
                        duration=0.5,
                        time_to_first_token=0.1,
                    )
                    acknowledged[0] += 1
            while acknowledged[0] < 10:
                time.sleep(0.001)
            time.sleep(chance.random() * 0.02)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            print(child, acknowledged[0])
        """,
        str(metrics.directory),
        str(metrics.price_file),
    )
    killed = [tuple(map(int, line.split())) for line in out.splitlines()]
    assert len(killed) == 40
    for pid, acknowledged in killed:
        (path,) = metrics.directory.glob(f"*-{pid}-*")
        for name, each in (
            ("genai_llm_calls_total", 1),
            ("genai_llm_call_duration_seconds_count", 1),
            ("genai_llm_input_tokens_total", 7),
            ("genai_llm_output_tokens_total", 3),
            ("genai_llm_time_to_first_token_seconds_count", 1),
            ("genai_tenant_requests_total", 1),
        ):
            found = metrics.stored_in(path, name)
            assert found in (each * acknowledged, each * (acknowledged + 1)), name
        cost = metrics.stored_in(path, "genai_llm_cost_usd_total")
        each_cost = 7 * 30e-6 + 3 * 60e-6
        assert each_cost * acknowledged * (1 - 1e-9) <= cost <= each_cost * (acknowledged + 1) * (1 + 1e-9)


WRITER = """
import pathlib, sys
from genai_metrics.blockfile import BlockFileWriter
from genai_metrics.catalog import LLM_STREAM
path, first, second = pathlib.Path(sys.argv[1]), *map(float.fromhex, sys.argv[2:4])
writer = BlockFileWriter(path, "writer")
print(writer.path, flush=True)
number = 0
while True:
    if number < int(sys.argv[4]):
        values = writer.append(LLM_STREAM, (f"{number}", "p", "m", "o", "success"))
        number += 1
    for slot in range(len(values)):
        values[slot] = first
    for slot in range(len(values)):
        values[slot] = second
"""


@pytest.fixture
def writer_of(metrics: "Metrics") -> Iterator[Callable[[int], int]]:
    """Start a process that writes the patterns into the newest of a number of blocks; descriptor of its file."""
    processes = []
    descriptors = []

    def start(blocks: int) -> int:
        arguments = (str(metrics.directory), *(pattern.hex() for pattern in PATTERNS), str(blocks))
        process = subprocess.Popen([sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        descriptors.append(os.open(process.stdout.readline().strip(), os.O_RDONLY))
        return descriptors[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()
    for fd in descriptors:
        os.close(fd)


def test_doubles_are_whole(writer_of: Callable[[int], int]) -> None:
    """A reader beside the writer sees old values and new ones, never a mixture, nor zeros in between."""
    fd = writer_of(1)
    size = 8 * LLM_STREAM.slots
    deadline = time.monotonic() + 10
    while (header := parse_header(os.pread(fd, 4096, 0))).used == header.size:  # until there is a block
        assert time.monotonic() < deadline
    start = header.used - size
    while 0.0 in memoryview(os.pread(fd, size, start)).cast("d").tolist():  # until the first pattern is written
        assert time.monotonic() < deadline
    seen: Counter[float] = Counter()
    for _ in range(150_000):
        seen.update(memoryview(os.pread(fd, size, start)).cast("d").tolist())
    assert set(seen) == set(PATTERNS)
    assert min(seen.values()) > 1000


def test_blocks_are_whole(writer_of: Callable[[int], int]) -> None:
    """Up to the length that the header tells, whenever it is read, all blocks are complete."""
    deadline = time.monotonic() + 60
    reads = 0
    # How often the two take turns is the machine's affair: as many writers as it takes.
    while reads <= 100:
        reads += whole_reads(writer_of(40_000), 40_000, deadline)


def whole_reads(fd: int, blocks: int, deadline: float) -> int:
    """Read a growing file until it has all its blocks; how many readings found new ones, each of them whole."""
    found = reads = used = 0
    while found < blocks:
        assert time.monotonic() < deadline
        header = parse_header(os.pread(fd, 4096, 0))
        used = used or header.size
        assert header.used >= used, "the file shrank"
        data = os.pread(fd, header.used - used, used)
        keys = [int(decode_key(block.key)[0]) for block in parse_blocks(data, 0, len(data))]
        assert keys == list(range(found, found + len(keys)))
        found += len(keys)
        reads += bool(keys)
        used = header.used
    return reads
