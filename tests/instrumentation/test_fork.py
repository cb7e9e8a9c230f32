"""Tests of processes that fork: nothing hangs, nothing is counted twice, and the dead look dead."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Metrics

CALLS = "genai_llm_calls_total"


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a block file, as the exporter asks."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_children_forked_under_load_do_not_hang(metrics: "Metrics", run_python: Callable[..., str]) -> None:
    """100 children, forked while 8 threads record, each record into a file of their own; all counts are exact."""
    out = run_python(
        """
        import os, sys, threading, time
        from genai_metrics import configure, track_llm_call

        configure(metrics_dir=sys.argv[1], label_caps={"tenant": 5000})
        sys.setswitchinterval(1e-5)
        done = threading.Event()
        made = [0] * 8

        def work(number):
            while not done.is_set():
                track_llm_call(
                    model="gpt-4", tenant=f"t{made[number] % 300}", input_tokens=7, time_to_first_token=0.1, duration=1
                )
                made[number] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        children = []
        for i in range(100):
            target = sum(made) + 20
            while sum(made) < target:
                time.sleep(0.0005)
            child = os.fork()
            if not child:
                for j in range(10):
                    track_llm_call(model="gpt-4", mode="child", tenant=f"c{i}-{j}", input_tokens=1)
                os._exit(0)
            children.append(child)
        deadline = time.monotonic() + 60
        hung = set(children)
        while hung and time.monotonic() < deadline:
            hung = {child for child in hung if os.waitpid(child, os.WNOHANG) == (0, 0)}
            time.sleep(0.01)
        done.set()
        for thread in threads:
            thread.join()
        print(sum(made), len(hung), os.getpid())
        """,
        str(metrics.directory),
        timeout=120,
    )
    made, hung, parent = map(int, out.split())
    assert hung == 0
    assert len(metrics.files()) == 101
    assert metrics.stored(CALLS, mode="default") == made
    assert metrics.stored("genai_llm_input_tokens_total", mode="default") == 7 * made
    for path in metrics.files():
        if f"-{parent}-" not in path.name:
            assert metrics.stored_in(path, CALLS) == 10
            assert metrics.stored_in(path, "genai_tenant_requests_total") == 10


def test_fork_while_prices_are_loaded(metrics: "Metrics", run_python: Callable[..., str]) -> None:
    """A child forked while another thread imports genai-prices can price its own calls."""
    run_python(
        """
        import os, sys, threading, time
        from genai_metrics import configure, track_llm_call

        configure(metrics_dir=sys.argv[1])

        def record():
            track_llm_call(model="gpt-4o", provider="openai", input_tokens=1_000_000)

        thread = threading.Thread(target=record)
        thread.start()
        while not any(name.startswith("genai_prices") for name in list(sys.modules)):
            time.sleep(0.0001)
        children = []
        for _ in range(3):
            child = os.fork()
            if not child:
                record()
                os._exit(0)
            children.append(child)
        thread.join()
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        """,
        str(metrics.directory),
        timeout=30,
    )
    assert metrics.stored(CALLS) == 4
    assert metrics.stored("genai_llm_cost_usd_total") == pytest.approx(4 * 2.5)


@pytest.mark.parametrize("files", [False, True], ids=["memory", "files"])
def test_child_starts_at_zero(metrics: "Metrics", run_python: Callable[..., str], files: bool) -> None:
    """A child sees none of its parent's counts, adds none to them, and keeps the settings."""
    out = run_python(
        """
        import os, sys
        from prometheus_client import CollectorRegistry, REGISTRY, generate_latest
        from genai_metrics import configure, track_llm_call

        registry = CollectorRegistry()
        configure(metrics_dir=sys.argv[1] or None, service_name="forker", registry=registry)

        def record(calls):
            for _ in range(calls):
                track_llm_call(model="gpt-4", input_tokens=1)

        def calls():
            lines = generate_latest(registry).decode().splitlines()
            return [line for line in lines if line.startswith("genai_llm_calls_total{")]

        record(5)
        child = os.fork()
        if not child:
            before = calls()
            record(3)
            print("child", before, calls(), b"genai_llm" in generate_latest(REGISTRY), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        record(2)
        print("parent", calls())
        """,
        str(metrics.directory) if files else "",
    )
    child, parent = out.splitlines()
    labels = 'mode="default",model="gpt-4",operation="chat",outcome="success",provider="unknown",service="forker"'
    if files:
        assert (child, parent) == ("child [] [] False", "parent []")
        assert sorted(metrics.stored_in(path, CALLS) for path in metrics.files()) == [3, 7]
        assert {path.name.partition("-")[0] for path in metrics.files()} == {"forker"}
    else:
        assert child == f"child [] ['genai_llm_calls_total{{{labels}}} 3.0'] False"
        assert parent == f"parent ['genai_llm_calls_total{{{labels}}} 7.0']"


def test_killed_parent_looks_dead_while_its_child_lives(metrics: "Metrics") -> None:
    """The child has let go of the lock of its parent's file, and of one from before a second ``configure()``."""
    source = """
import os, sys, time
from genai_metrics import configure, track_llm_call
for name in ("first", "second"):
    configure(metrics_dir=sys.argv[1], service_name=name)
    track_llm_call(model="gpt-4")
if not os.fork():
    track_llm_call(model="gpt-4", mode="child")
    print(os.getpid(), flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", source, str(metrics.directory)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        files = {f"-{child}-" in path.name: path for path in metrics.files()}
        of_child = files[True]
        of_parent = [path for path in metrics.files() if path != of_child]
        assert len(of_parent) == 2
        assert all(map(is_locked, metrics.files()))
        parent.kill()
        parent.wait()
        assert [is_locked(path) for path in of_parent] == [False, False]
        assert is_locked(of_child)
    finally:
        parent.kill()
        parent.wait()
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()


def test_fork_with_a_call_in_flight(metrics: "Metrics", run_python: Callable[..., str]) -> None:
    """The call in flight is the parent's alone, whichever process leaves the block."""
    run_python(
        """
        import os, sys
        from genai_metrics import configure, llm_call_in_flight, track_llm_call

        configure(metrics_dir=sys.argv[1])
        with llm_call_in_flight(model="a"):
            child = os.fork()
            if not child:
                track_llm_call(model="a")
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        with llm_call_in_flight(model="b"):
            os._exit(0)
        """,
        str(metrics.directory),
    )
    assert metrics.stored("genai_llm_calls_in_flight", model="a") == 0
    assert metrics.stored("genai_llm_calls_in_flight", model="b") == 1
    assert metrics.stored(CALLS) == 1


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(metrics: "Metrics", run_python: Callable[..., str], method: str) -> None:
    """Workers of ``multiprocessing`` record into files of their own, with settings from the environment."""
    run_python(
        """
        import multiprocessing, sys
        from genai_metrics import track_llm_call

        def work(number):
            for _ in range(100):
                track_llm_call(model="gpt-4", mode=f"m{number}")

        if __name__ == "__main__":
            work(99)
            context = multiprocessing.get_context(sys.argv[1])
            processes = [context.Process(target=work, args=(number,)) for number in range(3)]
            for process in processes:
                process.start()
            for process in processes:
                process.join(60)
                assert process.exitcode == 0, process.exitcode
        """,
        method,
        environment={"GENAI_METRICS_DIR": str(metrics.directory)},
    )
    assert len(metrics.files()) == 4
    assert [metrics.stored_in(path, CALLS) for path in metrics.files()] == [100] * 4


def test_application_that_closes_all_descriptors(metrics: "Metrics", run_python: Callable[..., str]) -> None:
    """Daemons close everything and open files of their own: those are neither locked, grown nor closed by us."""
    out = run_python(
        """
        import os, sys
        from genai_metrics import configure, track_llm_call

        configure(metrics_dir=sys.argv[1], label_caps={"tenant": 5000})
        track_llm_call(model="gpt-4")
        os.closerange(3, 100)
        own = [os.open(os.path.join(sys.argv[2], f"own-{i}"), os.O_RDWR | os.O_CREAT) for i in range(20)]
        for i in range(3000):
            track_llm_call(model="gpt-4", tenant=f"t{i}")
        if not os.fork():
            track_llm_call(model="gpt-4", mode="child")
            os._exit(sum(os.fstat(fd).st_size for fd in own))
        status = os.wait()[1]
        print(status, sum(os.fstat(fd).st_size for fd in own))
        """,
        str(metrics.directory),
        str(metrics.directory.parent),
    )
    assert out.split() == ["0", "0"]
    assert metrics.stored(CALLS, mode="child") == 1
