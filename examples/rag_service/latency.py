"""How long the stand-ins of databases take: made up, as no recording of retrieval or tool latencies was to be had.

Imports the standard library only.
"""

import asyncio
import math
from random import Random

_SIGMA = 0.45
_random = Random()


async def take(median_seconds: float, speed: float) -> None:
    """Wait as long as a database may: log-normal around ``median_seconds``, divided by ``speed``; 0: not at all."""
    if speed > 0:
        await asyncio.sleep(_random.lognormvariate(math.log(median_seconds), _SIGMA) / speed)


def fails(share: float) -> bool:
    """Whether this one is among the share that fails."""
    return _random.random() < share
