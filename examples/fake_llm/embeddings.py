"""Vectors of texts by the words in them: texts that share words are near each other. The same for every seed.

Imports the standard library only.
"""

import math
import re
import zlib
from array import array
from collections import Counter

_WORD = re.compile(r"\w+")


def embed(text: str, size: int) -> "array[float]":
    """A vector of length 1 with ``size`` numbers: each word adds to one of them, up or down (feature hashing)."""
    sums: Counter[int] = Counter()
    for word, count in Counter(_WORD.findall(text.lower()) or [text]).items():
        digest = zlib.crc32(word.encode())
        sums[(digest >> 1) % size] += count if digest & 1 else -count
    length = math.sqrt(sum(value * value for value in sums.values())) or 1.0
    vector = array("f", bytes(4 * size))
    for index, value in sums.items():
        vector[index] = value / length
    return vector
