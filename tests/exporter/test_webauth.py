"""Tests of passwords: where they are checked, how often, and what is told about names."""

import asyncio
import base64
import threading
from collections.abc import Callable

import bcrypt
import pytest

from genai_exporter import webauth
from genai_exporter.webauth import BusyError, Credentials, Passwords, parse

COST = 4


def hashed(password: bytes) -> str:
    """Hash a password as cheaply as bcrypt can."""
    return bcrypt.hashpw(password, bcrypt.gensalt(COST)).decode()


USERS = {"alice": hashed(b"secret"), "bob": hashed(b"other")}


class Counted:
    """bcrypt, with what it was asked and in which thread; ``hold`` keeps it waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[bytes, bytes]] = []
        self.threads: set[str] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self._check: Callable[[bytes, bytes], bool] = bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "checkpw", self)

    def __call__(self, password: bytes, against: bytes) -> bool:
        """Check a password."""
        self.asked.append((password, against))
        self.threads.add(threading.current_thread().name)
        assert self.go_on.wait(60)
        return self._check(password, against)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """The real bcrypt, watched."""
    return Counted(monkeypatch)


def ask(*questions: tuple[bytes, bytes], users: dict[str, str] | None = None) -> list[bool]:
    """Ask one after the other, of one checker."""

    async def run() -> list[bool]:
        passwords = Passwords()
        try:
            return [await passwords.are_right(Credentials(*question), users or USERS) for question in questions]
        finally:
            passwords.close()

    return asyncio.run(run())


class TestParse:
    """The header."""

    @pytest.mark.parametrize("scheme", [b"Basic", b"basic", b"BASIC"])
    def test_reads_name_and_password(self, scheme: bytes) -> None:
        """The scheme's case does not matter; a password may have colons and any bytes."""
        header = scheme + b" " + base64.b64encode(b"alice:a:\xff")
        assert parse(header) == Credentials(b"alice", b"a:\xff")

    @pytest.mark.parametrize(
        "header", [None, b"", b"Basic", b"Basic !", b"Basic YQ=", b"Basic YWxpY2U=", b"Bearer YTpi", b"BasicYTpi"]
    )
    def test_anything_else_is_nobody(self, header: bytes | None) -> None:
        """Absent, of another scheme, not base64, without a colon."""
        assert parse(header) is None

    def test_does_not_show_the_password(self) -> None:
        """A traceback or log with the credentials in it has no password."""
        assert "secret" not in repr(Credentials(b"alice", b"secret"))


class TestPasswords:
    """Right, wrong, unknown."""

    def test_each_user_has_their_own_password(self) -> None:
        """Only the pair is right."""
        questions = [(b"alice", b"secret"), (b"bob", b"other"), (b"alice", b"other"), (b"alice", b""), (b"eve", b"x")]
        assert ask(*questions) == [True, True, False, False, False]

    def test_bcrypt_runs_in_its_own_thread(self, counted: Counted) -> None:
        """Never on the event loop, which it would hold up for tens of milliseconds."""
        ask((b"alice", b"secret"), (b"alice", b"wrong"), (b"eve", b"x"))
        assert counted.threads == {"bcrypt_0"}
        assert len(counted.asked) == 3

    def test_a_right_password_is_computed_once(self, counted: Counted) -> None:
        """From the second scrape on it costs a hash of microseconds; a wrong one costs its time again."""
        assert ask(*[(b"alice", b"secret")] * 5) == [True] * 5
        assert len(counted.asked) == 1
        assert ask(*[(b"alice", b"wrong")] * 3) == [False] * 3
        assert len(counted.asked) == 4

    def test_a_changed_password_is_asked_for_at_once(self, counted: Counted) -> None:
        """What was known about the old hash says nothing about the new one."""

        async def run() -> tuple[bool, bool]:
            passwords = Passwords()
            before = await passwords.are_right(Credentials(b"alice", b"secret"), USERS)
            after = await passwords.are_right(Credentials(b"alice", b"secret"), {"alice": hashed(b"new")})
            passwords.close()
            return before, after

        assert asyncio.run(run()) == (True, False)
        assert len(counted.asked) == 2

    def test_an_unknown_name_costs_as_much_as_the_dearest_user(self, counted: Counted) -> None:
        """So the time of the answer does not tell who exists; and no password opens a name that does not exist."""
        users = {"alice": USERS["alice"], "carol": bcrypt.hashpw(b"x", bcrypt.gensalt(COST + 1)).decode()}
        assert ask((b"eve", b"fakepassword"), users=users) == [False]
        assert counted.asked[0][1].startswith(f"$2b${COST + 1:02}$".encode())

    def test_nobodys_password_never_becomes_known(self, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
        """Even a password that fits the hash for unknown names is refused, again and again."""
        monkeypatch.setattr(webauth, "_nobodys_hash", lambda users: USERS["alice"])
        assert ask((b"eve", b"secret"), (b"eve", b"secret")) == [False, False]

    def test_awkward_passwords(self) -> None:
        """bcrypt looks at 72 bytes, and cannot hash a NUL: neither is a fault."""
        users = {"alice": hashed(b"x" * 72)}
        assert ask((b"alice", b"x" * 100), (b"alice", b"x" * 71), (b"alice", b"a\0b"), users=users) == [
            True,
            False,
            False,
        ]
        assert ask((b"\xff", b"a")) == [False]

    def test_what_is_known_stays_bounded(self, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client cannot fill the memory with passwords that are the same to bcrypt."""
        monkeypatch.setattr(webauth, "_MAX_KNOWN", 2)
        users = {"alice": hashed(b"x" * 72)}
        questions = [(b"alice", b"x" * length) for length in (72, 73, 74)]
        assert ask(*questions, questions[2], questions[0], users=users) == [True] * 5
        assert len(counted.asked) == 4


class TestAtTheSameTime:
    """Many clients at once."""

    def test_equal_questions_are_computed_once(self, counted: Counted) -> None:
        """200 scrapes that begin together wait for one check, not for 200; one of them going away changes nothing."""

        async def run() -> list[bool | BaseException]:
            passwords = Passwords()
            counted.go_on.clear()
            question = Credentials(b"alice", b"secret")
            tasks = [asyncio.ensure_future(passwords.are_right(question, USERS)) for _ in range(200)]
            while not counted.asked:
                await asyncio.sleep(0)
            tasks[0].cancel()
            await asyncio.sleep(0)
            counted.go_on.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            passwords.close()
            return results

        first, *others = asyncio.run(run())
        assert isinstance(first, asyncio.CancelledError)
        assert others == [True] * 199
        assert len(counted.asked) == 1

    def test_guessers_are_turned_away_and_the_known_get_in(self, counted: Counted) -> None:
        """When the queue is full a further guess is refused at once, while a password that is known needs no queue."""

        async def run() -> bool:
            passwords = Passwords()
            alice = Credentials(b"alice", b"secret")
            assert await passwords.are_right(alice, USERS)
            counted.go_on.clear()
            guesses = [
                asyncio.ensure_future(passwords.are_right(Credentials(b"bob", b"%d" % number), USERS))
                for number in range(webauth.MAX_WAITING)
            ]
            await asyncio.sleep(0)
            with pytest.raises(BusyError):
                await passwords.are_right(Credentials(b"bob", b"one more"), USERS)
            known = await passwords.are_right(alice, USERS)
            counted.go_on.set()
            assert not any(await asyncio.gather(*guesses))
            assert not await passwords.are_right(Credentials(b"bob", b"one more"), USERS)
            passwords.close()
            return known

        assert asyncio.run(run())
