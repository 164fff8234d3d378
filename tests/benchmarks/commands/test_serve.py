"""The page is served to this machine, by its own name, and nothing else is."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.commands.serve import LOOPBACK, server
from conversion.errors import InvalidInput
from tests.benchmarks.conftest import Cli


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "report.html").write_text("<p>page")
    (tmp_path / "mini").mkdir()
    with server(tmp_path, 0) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield served.server_port
        served.shutdown()
        thread.join()


def answer(port: int, path: str, host: str | None = None, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=20)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    response = connection.getresponse()
    found = response.status, response.headers.get("Location", ""), response.read().decode()
    connection.close()
    return found


def test_the_page_is_served_and_found_at_the_root(port: int) -> None:
    assert answer(port, "/report.html") == (200, "", "<p>page")
    assert answer(port, "/")[:2] == (302, "/report.html")
    assert answer(port, "/report.html", f"localhost:{port}")[0] == 200


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/report.html", "example.org", 403),
        ("/report.html", "example.org:80", 403),
        ("/mini/", None, 404),
        ("/nothing", None, 404),
        ("/../../etc/passwd", None, 404),
    ],
)  # fmt: skip
def test_nothing_else_is(port: int, path: str, host: str | None, status: int) -> None:
    assert answer(port, path, host)[0] == status
    assert answer(port, path, host, "HEAD")[0] == status


def test_a_port_that_is_taken_is_said(port: int, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"Port {port} of this machine cannot be used .*--port"):
        server(tmp_path, port)


def test_there_has_to_be_something_to_serve(cli: Cli) -> None:
    status, _, said = cli("serve", "--results", "nowhere", "--port", "0")
    assert status == 2 and "no records" in said
