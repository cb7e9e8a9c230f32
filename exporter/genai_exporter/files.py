"""The block files of a metrics directory: which are read in a scrape, which are refused, and what is said of it.

Imports genai_metrics, ``directory`` and ``blockreader``.
"""

import logging

from genai_exporter.blockreader import BlockFileReader
from genai_exporter.directory import Limits, MetricsDirectory
from genai_exporter.totals import Totals
from genai_metrics.blockfile import BlockFileError

logger = logging.getLogger("genai_exporter")

_MOST_LOGGED_AT_ONCE = 20


class BlockFiles:
    """All block files of one directory, read again at each scrape. One thread at a time.

    ``limits`` may be changed between two scrapes. ``waiting``: files that have never been read because of them.
    """

    def __init__(self, directory: MetricsDirectory, limits: Limits) -> None:
        self.limits = limits
        self.waiting = 0
        self._directory = directory
        self._readers: dict[str, BlockFileReader] = {}
        self._rejected: dict[str, str] = {}  # the one tried longest ago comes first

    @property
    def rejected(self) -> int:
        """Number of files left out of the last scrape."""
        return len(self._rejected) + self.waiting

    def is_sound(self, reader: BlockFileReader) -> bool:
        """Whether a file could be read in the last scrape; one that could not keeps what it had counted."""
        return reader.name not in self._rejected

    def read(self, totals: Totals, folded: set[str]) -> list[BlockFileReader]:
        """Read every file that is not among the ``folded``; one that is not sound is refused and logged once.

        Returned is what has been read now or earlier: a file that was sound and is not any more keeps its counts.
        Raises ``OSError`` when the directory cannot be read.
        """
        names = (self._directory.block_files() | set(self._readers)) - folded
        self._rejected = {name: why for name, why in self._rejected.items() if name in names}
        budget = self.limits.total_bytes
        refused: list[tuple[BlockFileReader, str]] = []
        for name in self._chosen(names):
            reader = self._readers.get(name) or BlockFileReader(self._directory, name)
            try:
                reader.read(totals, self.limits, budget)
            except FileNotFoundError:
                continue
            except (BlockFileError, OSError) as error:
                # Not known to be alive: its gauges must not be shown as if they were current.
                reader.alive = False
                if self._rejected.pop(name, None) != str(error):
                    refused.append((reader, str(error)))
                self._rejected[name] = str(error)
            else:
                self._rejected.pop(name, None)
                self._readers[name] = reader
            budget -= reader.size
        _log(refused)
        return [self._readers[name] for name in sorted(names) if name in self._readers]

    def forget(self, readers: list[BlockFileReader]) -> None:
        """Let go of files whose counts are in the archive now."""
        for reader in readers:
            self._readers.pop(reader.name, None)

    def holds(self, reader: BlockFileReader) -> bool:
        """Whether a file has not been let go of."""
        return reader.name in self._readers

    def _chosen(self, names: set[str]) -> list[str]:
        """Return the files to open in this scrape, as many as the limits allow.

        Files that were sound come first and always, or their counters would stand still; then those not tried yet, so
        that a heap of unsound files cannot keep a sound one out; then refused ones, the one tried longest ago first.
        Among new ones neither age is better: those of ended processes are folded and make room for the rest.
        """
        known = sorted(name for name in names if name in self._readers)
        new = sorted(names - self._readers.keys() - self._rejected.keys())
        refused = [name for name in self._rejected if name not in self._readers]
        room = max(0, self.limits.files - len(known))
        waiting = max(0, len(new) - room)
        if waiting and not self.waiting:
            logger.error(
                "%s: %d files wait until others are gone: it has more than metrics_dir_limits.files (%d)",
                self._directory.path,
                waiting,
                self.limits.files,
            )
        self.waiting = waiting
        return known + [*new, *refused][:room]


def _log(refused: list[tuple[BlockFileReader, str]]) -> None:
    """Say which files are left out from now on, and why; of very many only how many."""
    for reader, why in refused[:_MOST_LOGGED_AT_ONCE]:
        logger.error("%s: left out: %s", reader.path, why)
    if len(refused) > _MOST_LOGGED_AT_ONCE:
        logger.error("%d more files are left out, which are not listed here", len(refused) - _MOST_LOGGED_AT_ONCE)
