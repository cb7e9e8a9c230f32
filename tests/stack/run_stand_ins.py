"""Supervise stand-ins in a process of its own: ``run_stand_ins.py LOG_FOLDER GRACE [MODE:PORT ...]``."""

import sys
from pathlib import Path

from genai_stack import supervisor
from genai_stack.children import Service
from genai_stack.progress import Progress

folder, grace, *members = sys.argv[1:]
supervisor.GRACE_SECONDS = float(grace)
services = []
for member in members:
    mode, port = member.split(":")
    address = f"http://127.0.0.1:{port}/"
    program = "/nonexistent/program" if mode == "ghost" else sys.executable
    argv = (program, str(Path(__file__).with_name("stand_in.py")), port, mode)
    services.append(Service(f"{mode}-{port}", argv, ready_url=address, url=address))
sys.exit(supervisor.Supervisor(services, Path(folder), Progress()).run())
