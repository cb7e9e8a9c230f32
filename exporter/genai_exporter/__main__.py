"""``python -m genai_exporter``: the same as the command ``genai-exporter``."""

from genai_exporter.cli import main

if __name__ == "__main__":
    main(prog_name="python -m genai_exporter")
