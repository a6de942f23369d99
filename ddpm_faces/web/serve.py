"""One page on 127.0.0.1, for browsers that open no files; nothing else of the folder is served."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ddpm_faces.utils.errors import UserError


def make_server(path: Path, port: int) -> ThreadingHTTPServer:
    """A server of the file `path` at /, on 127.0.0.1. port 0: any free one. Raises UserError where the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in ("/", "/index.html", f"/{path.name}"):
                self.send_error(404)
                return
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # not a line on the terminal for every request
            pass

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise UserError(
            f"port {port} cannot be used ({error.strerror}): choose another (port), or 0 for any free one"
        ) from None


def serve(path: Path, port: int) -> None:
    """Serve until Ctrl-C. Raises UserError where the port is taken."""
    with make_server(path, port) as server:
        print(f"serving it at http://127.0.0.1:{server.server_address[1]}/ until Ctrl-C", flush=True)
        server.serve_forever()
