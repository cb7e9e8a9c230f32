"""The store of one process: from a block kind and a label tuple to the block that is added to.

Owns the choice of backing, label cleaning and caps, own faults, and what happens at fork. Everything here is off the
hot path: callers keep the blocks they got (see ``tracking``) and come back only for new ones. Thread-safe; a forked
child starts with an empty store and a file of its own.
"""

import logging
import threading
import time
from collections.abc import Iterable

from genai_metrics.blockfile import BlockFileWriter
from genai_metrics.blocks import Block, Key, PrivateMemory, private_values
from genai_metrics.catalog import FAULT_REASONS, LABEL_OVERFLOW, RECORDER_FAULT, BlockKind, ExemplarKind
from genai_metrics.hashing import LABEL as TENANT_LABEL
from genai_metrics.labels import LabelCaps, clean, described
from genai_metrics.settings import Settings

logger = logging.getLogger("genai_metrics")

RETRY_SECONDS = 5.0
"""How long after a failure to get disk the recorder waits before it tries again."""


class Recorder:
    """Blocks of this process under one set of settings.

    No method raises into the caller for what the environment does (no disk, no permission): such trouble is counted in
    ``genai_recorder_faults_total{reason}``, logged once a reason, and recording goes on in private memory.

    ``earlier``: the recorder that this one replaces. Its blocks in private memory become this one's, and what threads
    still record by way of it comes here, so that nothing is lost and no counter falls.
    """

    def __init__(self, settings: Settings, earlier: "Recorder | None" = None) -> None:
        self.settings = settings
        self.service = clean(settings.service_name)[0]
        self._blocks: dict[BlockKind, dict[Key, Block]] = {}
        self._waiting: dict[tuple[BlockKind, Key], Block] = {}
        self._memory = PrivateMemory()
        self._lock = threading.RLock()
        self._logged: set[str] = set()
        self._writer: BlockFileWriter | None = None
        self._former_writers: list[BlockFileWriter] = []
        self._successor: Recorder | None = None
        self._settling = False
        self._retry_at = 0.0
        self._caps = LabelCaps(settings.label_caps, self._count_overflow)
        if settings.tenant_hash is not None:
            settings.tenant_hash.load()
        if earlier is not None:
            self._take_over(earlier)
        if settings.metrics_dir is not None:
            self._settle()
        # Reserved at once: these must be countable when there is no disk left.
        for reason in FAULT_REASONS:
            self._raw_block(RECORDER_FAULT, (reason,))
        for label in settings.label_caps:
            self._raw_block(LABEL_OVERFLOW, (label,))
        if settings.tenant_hash is not None and settings.tenant_hash.problem is not None:
            self.fault("tenant_hash_key", f"{settings.tenant_hash.problem}; all tenants are recorded as __unhashed__")

    def block(self, kind: BlockKind, key: tuple[object, ...], beside: Block | None = None) -> Block:
        """Return the block of ``kind`` for label values as the user gave them, cleaned and capped.

        ``beside``: a block that the same call updates; its own key is clean already.
        """
        clean_key = beside.key if beside is not None and key is beside.key else self.labels(kind.labels, key)
        return self._raw_block(kind, clean_key, beside)

    def block_of(self, kind: BlockKind, key: Key, beside: Block | None = None) -> Block:
        """Return the block of ``kind`` for label values that are those of another block of this recorder."""
        return self._raw_block(kind, key, beside)

    def existing(self, kind: BlockKind, key: Key) -> Block | None:
        """Return the block of ``kind`` for label values that are those of another block, ``None`` if there is none."""
        return self._blocks.get(kind, {}).get(key)

    def labels(self, names: tuple[str, ...], values: tuple[object, ...]) -> Key:
        """Clean, hash and cap label values; what had to be cleaned is counted as a fault."""
        cleaned = []
        for name, value in zip(names, values, strict=True):
            text, was_clean = clean(value)
            hidden = name == TENANT_LABEL and self.settings.tenant_hash is not None
            if not was_clean:
                what = f"a {name}" if hidden else f"{name}={described(value)}"
                recorded = "its hash when cleaned" if hidden else repr(text)
                self.fault("bad_label", f"{what} is not a usable label value; recorded as {recorded}")
            cleaned.append(self._caps.admit(name, self.tenant_label(text) if hidden else text))
        return tuple(cleaned)

    def tenant_label(self, tenant: str) -> str:
        """Return the label value for a clean tenant name, before the cap."""
        return tenant if self.settings.tenant_hash is None else self.settings.tenant_hash.label(tenant)

    def is_settled(self) -> bool:
        """Whether all blocks lie where they belong: while some wait for disk, calls must come by to have them moved."""
        return not self._waiting

    def blocks(self) -> list[Block]:
        """Return all blocks that count, kind by kind, each kind's in the order in which they were made."""
        return self._blocks_of([kind for kind in list(self._blocks) if not isinstance(kind, ExemplarKind)])

    def exemplar_blocks(self, kind: ExemplarKind) -> list[Block]:
        """Return the blocks of a kind of exemplars; there are none before the first traced observation."""
        return self._blocks_of([kind])

    def fault(self, reason: str, message: str) -> None:
        """Count an own fault or bad input under one of ``FAULT_REASONS`` and log the first of each reason."""
        self._raw_block(RECORDER_FAULT, (reason,)).add(0, 1.0)
        if reason not in self._logged:
            self._logged.add(reason)
            try:
                logger.warning(
                    "genai_metrics: %s (%s; counted in genai_recorder_faults_total, further ones are not logged)",
                    message,
                    reason,
                )
            except Exception:  # an application's own log handler or filter
                pass

    def let_go(self) -> None:
        """Give up the files' locks: in a forked child, which makes a recorder of its own, or when never used."""
        for writer in self._writers():
            writer.let_go()

    def _blocks_of(self, kinds: Iterable[BlockKind]) -> list[Block]:
        with self._lock:
            return [block for kind in kinds for block in list(self._blocks.get(kind, {}).values())]

    def _writers(self) -> list[BlockFileWriter]:
        return self._former_writers if self._writer is None else [*self._former_writers, self._writer]

    def _take_over(self, earlier: "Recorder") -> None:
        with earlier._lock:
            self._former_writers = earlier._writers()
            everything = earlier._blocks_of(list(earlier._blocks))
            for block in everything if earlier._writer is None else list(earlier._waiting.values()):
                key = self._carried(earlier, block.kind, block.key)
                if key == block.key:
                    # The same object: it was shown under its value, and must not be born at zero again.
                    self._blocks.setdefault(block.kind, {})[key] = block
                    if self.settings.metrics_dir is not None:
                        self._waiting[block.kind, key] = block
                elif not isinstance(block.kind, ExemplarKind):  # a cap is lower now
                    mine = self._raw_block(block.kind, key)
                    for slot, amount in enumerate(block.read()):
                        mine.add(slot, amount)
            earlier._waiting.clear()
            earlier._successor = self

    def _carried(self, earlier: "Recorder", kind: BlockKind, key: Key) -> Key:
        """Return label values of an earlier recorder as this one admits them: names of tenants may be hashed now."""
        if earlier.settings.tenant_hash is None and TENANT_LABEL in kind.labels:
            pairs = zip(kind.labels, key, strict=True)
            key = tuple(self.tenant_label(value) if label == TENANT_LABEL else value for label, value in pairs)
        return tuple(map(self._caps.admit, kind.labels, key))

    def _count_overflow(self, label: str) -> None:
        self._raw_block(LABEL_OVERFLOW, (label,)).add(0, 1.0)

    def _raw_block(self, kind: BlockKind, key: Key, beside: Block | None = None) -> Block:
        of_kind = self._blocks.get(kind)
        if of_kind is None:
            of_kind = self._blocks.setdefault(kind, {})
        block = of_kind.get(key)
        if block is not None and not self._waiting:
            return block
        # Reentrant: a signal handler that records may come in between any two calls below.
        with self._lock:
            block = of_kind.get(key)
            if block is None and self._successor is not None:
                return self._successor._raw_block(kind, self._successor._carried(self, kind, key), beside)
            if block is None:
                name, in_file = (kind, key), self.settings.metrics_dir is not None
                values = private_values(kind) if in_file else self._memory.take(kind.slots)
                new = Block(kind, key, values, beside)
                # One step, like all that has no call in it: a handler has made the same block before it or finds this
                # one, and no exception from a handler leaves a block that nobody moves into the file.
                if key not in of_kind:
                    of_kind[key] = new
                    if in_file:
                        self._waiting[name] = new
                block = of_kind[key]
            if self._waiting and time.monotonic() >= self._retry_at:
                self._settle()
            return block

    def _settle(self) -> None:
        """Move blocks that wait in private memory into the file."""
        if self._settling:  # interrupted by a signal handler: the writer is in the middle of something
            return
        self._settling = True
        try:
            if self._writer is None:
                self._open_file()
            while self._waiting and self._writer is not None:
                for name, block in list(self._waiting.items()):
                    # Moved already when a signal handler raised before it could be deleted here.
                    if isinstance(block.values.obj, bytearray):
                        block.move(self._writer.append(block.kind, block.key))
                    del self._waiting[name]
        except OSError as error:
            self._no_storage(error)
        finally:
            self._settling = False

    def _open_file(self) -> None:
        assert self.settings.metrics_dir is not None
        try:
            self._writer = BlockFileWriter(
                self.settings.metrics_dir, self.service, shared=self.settings.metrics_dir_shared
            )
        except OSError as error:
            self._no_storage(error)

    def _no_storage(self, error: OSError) -> None:
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self.fault(
            "storage",
            f"cannot keep metrics in {self.settings.metrics_dir}: {error}; recording in private memory, "
            f"which the exporter does not see, and trying again every {RETRY_SECONDS:g} s",
        )
