"""The page is served to this machine, by its own name, and nothing else is."""

from __future__ import annotations

import http.client
import os
import re
import socket
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


@pytest.mark.parametrize(
    "path", ["/link", "/folder/secret", "/pipe", "/loop", "/%00", "/" + "a" * 5000, "/report.html/"]
)
def test_no_link_leads_out_and_nothing_is_waited_for(port: int, tmp_path: Path, path: str) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (tmp_path / "link").symlink_to(outside / "secret")
    (tmp_path / "folder").symlink_to(outside)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    assert answer(port, path)[0] == 404


def test_other_pages_run_nothing(port: int, tmp_path: Path) -> None:
    """A page among somebody's results would read all others, as it comes from the same place."""
    (tmp_path / "other.html").write_text("<script>fetch('/report.html')</script>")
    for path, policy in (("/other.html", "sandbox; default-src 'none'"), ("/report.html", None)):
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=20)
        connection.request("GET", path)
        assert connection.getresponse().headers.get("Content-Security-Policy") == policy
        connection.close()


@pytest.mark.parametrize(
    "request_",
    [b"\x16\x03\x01\0\xff", b"GET", b"GET /\xff\xfe HTTP/1.1\r\nHost: \xff", b"PUT / HTTP/1.1", b"GET / HTTP/9.9"],
)
def test_odd_requests_are_refused_without_a_traceback(
    port: int, request_: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection((LOOPBACK, port), timeout=20) as connection:
        connection.sendall(request_ + b"\r\n\r\n")
        said = connection.recv(4096)
    assert re.match(rb"HTTP/1.0 (4|5)\d\d |<!DOCTYPE", said)
    assert answer(port, "/report.html")[0] == 200
    assert "Traceback" not in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(port: int, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"Port {port} of this machine cannot be used .*--port"):
        server(tmp_path, port)


@pytest.mark.slow
def test_there_has_to_be_something_to_serve(cli: Cli) -> None:
    status, _, said = cli("serve", "--results", "nowhere", "--port", "0")
    assert status == 2 and "no records" in said
