"""Write the generated rules: ``python -m genai_rules``; with ``--check`` fail when they are stale."""

import argparse
import sys
from pathlib import Path

from genai_rules import effective

FILE = Path(__file__).resolve().parents[1] / "rules" / "effective.yml"


def main() -> int:
    """Write or check; exit code 1 when the check finds the file stale."""
    parser = argparse.ArgumentParser(prog="genai_rules", description="Write the generated Prometheus rules.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is stale")
    text = effective.text()
    if parser.parse_args().check:
        if FILE.is_file() and FILE.read_text() == text:
            return 0
        print(f"{FILE}: stale; run `make generate` and commit the result", file=sys.stderr)
        return 1
    FILE.write_text(text)
    print(f"wrote {FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
