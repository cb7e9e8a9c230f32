"""Makes the benchmarks, which are no part of the installed package, importable however pytest is started."""

import sys

from genai_stack import REPOSITORY

sys.path.append(str(REPOSITORY))
