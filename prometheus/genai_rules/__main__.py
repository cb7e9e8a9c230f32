"""Write the generated rules: ``python -m genai_rules``; with ``--check`` fail when they are stale."""

import argparse
import sys
from pathlib import Path

from genai_rules import effective, otel

FILES = {"effective.yml": effective.text, "otel.yml": otel.text}
RULES = Path(__file__).resolve().parents[1] / "rules"


def main() -> int:
    """Write or check; exit code 1 when the check finds the file stale."""
    parser = argparse.ArgumentParser(prog="genai_rules", description="Write the generated Prometheus rules.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    stale = [
        name for name, text in FILES.items() if not (RULES / name).is_file() or (RULES / name).read_text() != text()
    ]
    if not parser.parse_args().check:
        for name in FILES:
            (RULES / name).write_text(FILES[name]())
            print(f"wrote {RULES / name}")
        return 0
    for name in stale:
        print(f"{RULES / name}: stale; run `make generate` and commit the result", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
