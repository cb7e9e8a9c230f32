"""Tests of replay.recorded: what the readers make of rows, and what they say about files they cannot use."""

import gzip
import json
from pathlib import Path

import pytest

from replay.recorded import read_csv, read_mooncake
from replay.workloads import Request, WorkloadError

HEADER = "session,seq,agent,t,type,model,in,out,blocks,hit_blocks,stop,ttft,api_time,think_time\n"


def csv_file(folder: Path, *rows: str) -> Path:
    """A CSV with the known header and these rows."""
    path = folder / "requests.csv"
    path.write_text(HEADER + "".join(row + "\n" for row in rows))
    return path


def mooncake_file(folder: Path, *rows: object) -> Path:
    """A JSON lines file of these rows."""
    path = folder / "trace.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


class TestReadCsv:
    """The CSV of agent sessions."""

    def test_reads_a_streamed_and_a_plain_call(self, tmp_path: Path) -> None:
        """Each column ends in its field; what was not recorded is None."""
        path = csv_file(
            tmp_path,
            "s1,0,,0.0,n,claude-opus-4-6,1000,20,16,0,tool_use,,7.5,0.0",
            "s1,1,,9.0,s,claude-opus-4-6,1100,30,18,10,,1.25,4.0,1.5",
            "s1,2,,14.0,s,gpt-x,1200,0,19,18,,,,1.0",
        )
        expected = [
            Request("s1", 7.5, "claude-opus-4-6", "anthropic", 1000, 20, 0, 7.5, None, None, False),
            Request("s1", 13.0, "claude-opus-4-6", "anthropic", 1100, 30, 640, 4.0, 1.25, None, True),
            Request("s1", 14.0, "gpt-x", "unknown", 1200, 0, 1152, None, None, None, True),
        ]
        assert expected == read_csv(path)

    def test_never_reads_more_from_the_cache_than_the_prompt(self, tmp_path: Path) -> None:
        """The last block of a prompt is rarely full."""
        (request,) = read_csv(csv_file(tmp_path, "s1,0,,0.0,n,claude-opus-4-6,1000,20,16,16,,,,0.0"))
        assert request.cache_read_tokens == 1000

    def test_spreads_sessions_and_cuts_long_pauses(self, tmp_path: Path) -> None:
        """Two sessions start half an hour apart, and a pause of a day lasts two minutes."""
        row = "claude-opus-4-6,1000,20,16,0,,,,0.0"
        path = csv_file(tmp_path, f"s1,0,,0.0,n,{row}", f"s1,1,,86400.0,n,{row}", f"s2,0,,0.0,n,{row}")
        assert [(r.session, r.at) for r in read_csv(path)] == [("s1", 0.0), ("s1", 120.0), ("s2", 1800.0)]

    def test_places_a_sub_agent_after_the_call_that_began_it(self, tmp_path: Path) -> None:
        """A sub-agent's time counts from its own start; it runs beside its main agent."""
        row = "claude-opus-4-6,{},20,16,0,,,,0.0"
        path = csv_file(
            tmp_path,
            f"s1,0,,50.0,n,{row.format(1)}",
            f"s1,1,,60.0,n,{row.format(2)}",
            f"s1,2,agent_001,0.0,n,{row.format(3)}",
            f"s1,3,agent_001,7.0,n,{row.format(4)}",
            f"s1,4,,65.0,n,{row.format(5)}",
        )
        placed = [(request.at, request.input_tokens) for request in read_csv(path)]
        assert placed == [(0.0, 1), (10.0, 2), (10.0, 3), (15.0, 5), (17.0, 4)]

    def test_reads_gzip(self, tmp_path: Path) -> None:
        """A name that ends in .gz is unpacked on the way."""
        plain = csv_file(tmp_path, "s1,0,,0.0,n,claude-opus-4-6,1000,20,16,0,,,,0.0")
        packed = tmp_path / "requests.csv.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        assert read_csv(plain) == read_csv(packed)

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("s1,0,,0.0,n,claude-opus-4-6,many,20,16,0,,,,0", "requests.csv:2: column in is 'many'"),
            ("s1,0,,0.0,n,claude-opus-4-6,-1,20,16,0,,,,0", "requests.csv:2: column in is '-1'"),
            ("s1,0,,0.0,n,claude-opus-4-6,nan,20,16,0,,,,0", "requests.csv:2: column in is 'nan'"),
            (
                "s1,0,,0.0,n,claude-opus-4-6,1.5,20,16,0,,,,0",
                "requests.csv:2: column in is 1.5; expected a whole",
            ),
            ("s1,0,,0.0,n,,1,20,16,0,,,,0", "requests.csv:2: column model is empty"),
            ("s1,0,,0.0,n,claude-opus-4-6,1", "requests.csv:2: column out is empty"),
        ],
    )
    def test_names_file_line_and_column_of_a_bad_value(self, tmp_path: Path, row: str, message: str) -> None:
        """Wrong numbers, missing values and short rows are refused with their place."""
        with pytest.raises(WorkloadError) as caught:
            read_csv(csv_file(tmp_path, row))
        assert message in str(caught.value)

    def test_names_the_missing_columns(self, tmp_path: Path) -> None:
        """A CSV of something else is refused with the columns it lacks and those it needs."""
        path = tmp_path / "other.csv"
        path.write_text("session,agent,t,type,model,tokens\n1,2,3,4,5,6\n")
        with pytest.raises(WorkloadError, match=r"other\.csv:1: no column in, out, hit_blocks, ttft, api_time; "):
            read_csv(path)

    def test_says_what_to_do_without_the_file(self, tmp_path: Path) -> None:
        """A missing file names the path, the expected form and the way to do without."""
        with pytest.raises(WorkloadError, match=r"none\.csv: cannot be read: No such file.*synthetic needs no file"):
            read_csv(tmp_path / "none.csv")

    @pytest.mark.parametrize("content", [b"not gzip", gzip.compress(HEADER.encode() * 99)[:-30]])
    def test_refuses_broken_gzip(self, tmp_path: Path, content: bytes) -> None:
        """Neither foreign nor truncated bytes end in a traceback."""
        path = tmp_path / "broken.csv.gz"
        path.write_bytes(content)
        with pytest.raises(WorkloadError, match="cannot be read"):
            read_csv(path)

    def test_refuses_a_file_without_rows(self, tmp_path: Path) -> None:
        """A header alone is no workload."""
        with pytest.raises(WorkloadError, match="no rows"):
            read_csv(csv_file(tmp_path))


class TestReadMooncake:
    """The JSON lines of the Mooncake trace."""

    def test_counts_leading_blocks_seen_before_as_cached(self, tmp_path: Path) -> None:
        """A block counts only while all blocks before it were known; the last one may be partly filled."""
        path = mooncake_file(
            tmp_path,
            {"timestamp": 0, "input_length": 1300, "output_length": 5, "hash_ids": [0, 1, 2]},
            {"timestamp": 3000, "input_length": 1536, "output_length": 6, "hash_ids": [0, 9, 2]},
            {"timestamp": 3000, "input_length": 1300, "output_length": 7, "hash_ids": [0, 1, 2]},
        )
        requests = read_mooncake(path, model="kimi", provider="moonshotai")
        assert [request.cache_read_tokens for request in requests] == [0, 512, 1300]
        assert [request.at for request in requests] == [0.0, 3.0, 3.0]
        assert Request("", 0.0, "kimi", "moonshotai", 1300, 5, 0) == requests[0]

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("{", "trace.jsonl:1: not a row"),
            ("[]", "trace.jsonl:1: not a row"),
            ({"timestamp": 0, "input_length": 1, "hash_ids": []}, "no field 'output_length'"),
            (
                {"timestamp": 0, "input_length": -1, "output_length": 1, "hash_ids": []},
                "whole numbers, 0 or more",
            ),
            (
                {"timestamp": "x", "input_length": 1, "output_length": 1, "hash_ids": []},
                "trace.jsonl:1: not a row",
            ),
        ],
    )
    def test_names_file_and_line_of_a_bad_row(self, tmp_path: Path, row: object, message: str) -> None:
        """Whatever is not a row of the trace is refused with its place and where to get the trace."""
        with pytest.raises(WorkloadError) as caught:
            read_mooncake(mooncake_file(tmp_path, row), model="kimi", provider="moonshotai")
        assert message in str(caught.value)
        assert "kvcache-ai/Mooncake" in str(caught.value)
