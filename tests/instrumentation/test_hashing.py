"""Tests of tenants that are recorded by a keyed hash: nothing leaks, and it costs nothing a call."""

import hashlib
import hmac
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genai_metrics import hashing, runtime, track_llm_call
from genai_metrics.catalog import OVERFLOW, TENANT_REQUESTS
from genai_metrics.hashing import UNHASHED, KeyFileError, hashed, read_key
from genai_metrics.llm_calls import tenants

if TYPE_CHECKING:
    from conftest import Metrics

KEY = b"0123456789abcdef0123456789abcdef"
REQUESTS = "genai_tenant_requests_total"


def expected(tenant: str, key: bytes = KEY) -> str:
    """The first 16 digits of the HMAC, by the standard library."""
    return hmac.new(key, tenant.encode(), hashlib.sha256).hexdigest()[:16]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A key as ``openssl rand`` would be saved, with a line feed."""
    path = tmp_path / "tenant.key"
    path.write_bytes(KEY + b"\n")
    path.chmod(0o600)
    return path


def recorded() -> dict[str, float]:
    """Requests by tenant in this process."""
    return {b.key[0]: b.read()[0] for b in runtime.recorder().blocks() if b.kind is TENANT_REQUESTS}


class TestReadKey:
    """Which files are keys."""

    def test_the_line_break_is_not_part_of_it(self, key_file: Path) -> None:
        """An editor's line break changes no hash; other bytes are taken as they are."""
        assert read_key(key_file) == KEY
        key_file.write_bytes(KEY + b" \0\r\n")
        assert read_key(key_file) == KEY + b" \0"

    @pytest.mark.parametrize(
        ("content", "mode", "message"),
        [
            (KEY[:31], 0o600, "holds 31 bytes; it takes 32 random ones"),
            (b"", 0o600, "holds 0 bytes"),
            (b"x" * 70_000, 0o600, "65536 at most"),
            (KEY, 0o644, r"others have access .* \(mode 0644\): chmod 600 it"),
            (KEY, 0o640, r"others have access .* \(mode 0640\)"),
            (KEY, 0o602, r"others have access .* \(mode 0602\)"),
        ],
    )
    def test_refusals_name_the_remedy(self, key_file: Path, content: bytes, mode: int, message: str) -> None:
        """Keys that are too short, too long, or not secret."""
        key_file.write_bytes(content)
        key_file.chmod(mode)
        with pytest.raises(KeyFileError, match=message):
            read_key(key_file)

    @pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "nameless"])
    def test_what_is_no_file(self, tmp_path: Path, kind: str) -> None:
        """Neither a missing file nor a FIFO, which would hold the application up, is a key."""
        path = tmp_path / "key" if kind != "nameless" else Path("")
        if kind == "directory":
            path.mkdir(mode=0o700)
        elif kind == "fifo":
            os.mkfifo(path, 0o600)
        with pytest.raises(KeyFileError, match=r"cannot be read|not a regular file|the name is empty"):
            read_key(path)

    def test_another_users_key(self, key_file: Path, open_to_all: Path, run_python: Callable[..., str]) -> None:
        """Root's may be the group's to read, as Kubernetes mounts it; a stranger's is refused."""
        if os.geteuid() != 0:
            os.chmod(key_file, 0o400)
            assert read_key(key_file) == KEY
            return
        key_file = key_file.rename(open_to_all / "key")
        os.chown(key_file, 0, 65534)
        script = """
            import os, pathlib, sys
            from genai_metrics.hashing import KeyFileError, read_key
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
            try:
                print(len(read_key(pathlib.Path(sys.argv[1]))))
            except KeyFileError as error:
                print(error)
            """
        key_file.chmod(0o440)
        assert run_python(script, str(key_file)) == "32\n"
        key_file.chmod(0o444)
        assert "others have access" in run_python(script, str(key_file))
        os.chown(key_file, 1234, 65534)
        key_file.chmod(0o440)
        assert "belongs to user 1234" in run_python(script, str(key_file))


class TestHashed:
    """The function itself."""

    def test_is_a_keyed_hash(self) -> None:
        """As documented, so that others can compute it; another key gives another one."""
        assert hashed(KEY, "acme") == expected("acme") == "d8ad00265ff0a302"
        assert hashed(KEY, "größe") == expected("größe")
        assert hashed(b"y" * 32, "acme") != hashed(KEY, "acme")

    @pytest.mark.parametrize("value", [OVERFLOW, UNHASHED])
    def test_what_names_nobody_stays(self, value: str) -> None:
        """The values that stand for others stay readable."""
        assert hashed(KEY, value) == value


class TestRecording:
    """Calls of tenants."""

    @pytest.mark.parametrize("files", [False, True])
    def test_no_name_is_recorded(self, metrics: "Metrics", key_file: Path, files: bool) -> None:
        """Hashes stand in all series of tenants, and names nowhere, whatever kind of call it is."""
        metrics.configure(files=files, tenant_hash_key_file=key_file)
        for tenant in ("acme", "umbrella"):
            for _ in range(3):
                track_llm_call(model="gpt-4", tenant=tenant, input_tokens=5)
            track_llm_call(model="gpt-4", tenant=tenant, error_type="429")
        assert recorded() == {expected("acme"): 4, expected("umbrella"): 4}
        assert metrics.value("genai_tenant_tokens_total", tenant=expected("acme")) == 15
        assert metrics.value("genai_tenant_errors_total", tenant=expected("acme")) == 1
        assert metrics.faults() == {}
        for path in metrics.files():
            assert b"acme" not in path.read_bytes()

    def test_a_known_tenant_costs_no_hash(
        self, metrics: "Metrics", key_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After the first call of a tenant its series are found by the name: nothing is hashed any more."""
        metrics.configure(tenant_hash_key_file=key_file)
        track_llm_call(mode="m", model="gpt-4", tenant="acme")
        assert ("acme", "m") in tenants
        monkeypatch.delattr(hashing, "hashed")
        for _ in range(5):
            track_llm_call(mode="m", model="gpt-4", tenant="acme")
        assert recorded() == {expected("acme"): 6}

    def test_caps_hold_as_before(self, metrics: "Metrics", key_file: Path) -> None:
        """The cap counts hashes; what comes after it is ``__other__``, counted once a record."""
        metrics.configure(tenant_hash_key_file=key_file, label_caps={"tenant": 2})
        for tenant in ("a", "b", "c", "d", "c"):
            track_llm_call(model="gpt-4", tenant=tenant)
        assert recorded() == {expected("a"): 1, expected("b"): 1, OVERFLOW: 3}
        assert metrics.value("genai_label_overflow_total", label="tenant") == 3

    def test_a_bad_name_is_not_logged(
        self, metrics: "Metrics", key_file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The fault of a name with a line feed is told without the name."""
        metrics.configure(tenant_hash_key_file=key_file)
        track_llm_call(model="gpt-4", tenant="se\ncret")
        assert metrics.faults() == {"bad_label": 1}
        assert recorded() == {expected("se\ufffdcret"): 1}
        assert "cret" not in caplog.text.replace("secret", "")
        assert "a tenant is not a usable label value" in caplog.text

    def test_a_forked_child_has_the_key(self, key_file: Path, tmp_path: Path, run_python: Callable[..., str]) -> None:
        """Servers read the key as one user and work as another, which may not read it."""
        out = run_python(
            """
            import os, sys
            from genai_metrics import configure, runtime, track_llm_call
            configure(tenant_hash_key_file=sys.argv[1], pricing=False)
            os.unlink(sys.argv[1])
            child = os.fork()
            if not child:
                track_llm_call(tenant="acme")
                blocks = runtime.recorder().blocks()
                print([b.key[0] for b in blocks if b.kind.name == "tenant"][0], flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            """,
            str(key_file),
        )
        assert out == expected("acme") + "\n"


class TestNoKey:
    """Keys that cannot be used."""

    @pytest.mark.parametrize("how", ["argument", "environment", "empty"])
    def test_nothing_leaks(
        self,
        metrics: "Metrics",
        tmp_path: Path,
        how: str,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """All tenants are one, sums stay right, and the log says once why and what to do."""
        missing = tmp_path / "none.key"
        if how != "argument":
            monkeypatch.setenv("GENAI_TENANT_HASH_KEY_FILE", "" if how == "empty" else str(missing))
        metrics.configure(**({"tenant_hash_key_file": missing} if how == "argument" else {}))
        for tenant in ("acme", "umbrella", "acme"):
            track_llm_call(model="gpt-4", tenant=tenant)
        assert recorded() == {UNHASHED: 3}
        assert metrics.faults() == {"tenant_hash_key": 1}
        (message,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
        assert "tenant hash key file" in message
        assert "all tenants are recorded as __unhashed__" in message
        assert "acme" not in message


class TestReconfigured:
    """Hashing that begins, or whose key changes, while tenants have been recorded."""

    def test_names_recorded_before_are_hashed(self, metrics: "Metrics", key_file: Path) -> None:
        """What this process holds in memory under names goes on under hashes, and no call is lost."""
        for _ in range(2):
            track_llm_call(model="gpt-4", tenant="acme")
        assert recorded() == {"acme": 2}
        metrics.configure(tenant_hash_key_file=key_file)
        track_llm_call(model="gpt-4", tenant="acme")
        assert recorded() == {expected("acme"): 3}

    def test_hashes_stay_hashes(self, metrics: "Metrics", key_file: Path, tmp_path: Path) -> None:
        """The same key again changes nothing; another one hashes no hash; none brings no name back."""
        metrics.configure(tenant_hash_key_file=key_file)
        track_llm_call(model="gpt-4", tenant="acme")
        metrics.configure(tenant_hash_key_file=key_file)
        track_llm_call(model="gpt-4", tenant="acme")
        assert recorded() == {expected("acme"): 2}
        other = tmp_path / "other.key"
        other.write_bytes(b"z" * 40)
        other.chmod(0o600)
        metrics.configure(tenant_hash_key_file=other)
        track_llm_call(model="gpt-4", tenant="acme")
        assert recorded() == {expected("acme"): 2, expected("acme", b"z" * 40): 1}
