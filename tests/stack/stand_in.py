"""A small server for supervisor tests: ``stand_in.py PORT MODE``.

Modes: ``serve`` ends at SIGTERM, ``deaf`` ignores SIGTERM, ``family`` also starts a child that sleeps and says its
number on standard output, ``dies`` prints two lines and exits with code 3 once it has served one request.
"""

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

MODE = sys.argv[2]


class Handler(BaseHTTPRequestHandler):
    """Answers everything with 200."""

    def do_GET(self) -> None:
        """Answer, and die afterwards where the mode says so."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if MODE == "dies":
            print("first line\nsomething [broke]", flush=True)
            threading.Timer(0.3, os._exit, [3]).start()


if MODE == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if MODE == "family":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(child.pid, flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
