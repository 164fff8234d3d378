"""`serve`: shows the page of all results in a browser of this machine."""

from __future__ import annotations

import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.site.page import PAGE, write_page
from benchmarks.suites.plugins import load_plugins
from conversion.errors import InvalidInput

LOOPBACK = "127.0.0.1"


class Handler(SimpleHTTPRequestHandler):
    """Serves the files of a folder of results to this machine's browser, and lists no folder."""

    def do_GET(self) -> None:
        if not self._asked_by_its_name():
            return
        if self.path == "/":
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", f"/{PAGE}")
            self.end_headers()
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        if self._asked_by_its_name():
            super().do_HEAD()

    def _asked_by_its_name(self) -> bool:
        """Refuses what names another host: a page from elsewhere may point a name of its own at this machine."""
        name = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if name in (LOOPBACK, "localhost"):
            return True
        self.send_error(HTTPStatus.FORBIDDEN, "It is served to this machine only")
        return False

    def send_head(self) -> Any:
        """The file that a path names, where it is one of the folder: no link leads out of it, no pipe is waited for."""
        try:
            path = Path(self.translate_path(self.path)).resolve()
            served = path.is_file() and path.is_relative_to(Path(self.directory).resolve())
        except (OSError, ValueError, RuntimeError):  # Names that no file can have; links in a circle.
            served = False
        if served:
            return super().send_head()
        self.send_error(HTTPStatus.NOT_FOUND, "There is no such file; folders are not listed")
        return None

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        asked = getattr(self, "path", "").partition("?")[0]  # A request that cannot be read has no path.
        if asked != f"/{PAGE}":
            # A page that somebody left among results runs nothing and reads nothing.
            self.send_header("Content-Security-Policy", "sandbox; default-src 'none'")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: requests come from the one who started it."""


def server(results: Path, port: int) -> ThreadingHTTPServer:
    """The server of a folder of results, on loopback; port 0 takes a free one.

    Raises:
        InvalidInput: the port is taken.
    """
    try:
        return ThreadingHTTPServer((LOOPBACK, port), partial(Handler, directory=str(results)))
    except OSError as error:
        raise InvalidInput(
            f"Port {port} of this machine cannot be used ({error.strerror}); give another --port, 0 for a free one."
        ) from None


def serve(results: Path, port: int) -> None:
    """Writes the page of a folder of results and serves it until it is stopped.

    Raises:
        BenchmarkError: there are no records, the extra `report` is not installed, or the port is taken.
    """
    load_plugins()
    with server(results, port) as served:
        page = write_page(results)
        print(f"{page}: http://{LOOPBACK}:{served.server_port}/{PAGE} (Control-C ends it)", file=sys.stderr, flush=True)
        served.serve_forever()
