"""Downloads that are cut in the middle or are not the file: from a server on this machine, torchvision's way."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from torchvision import datasets

from kmgan_lib import data
from kmgan_lib.files import cache_root

from ..conftest import Command

PROMISED, SENT = 100_000, 30_000


class Server(BaseHTTPRequestHandler):
    """Promises a file and sends a part of it, or another file, by the first part of the address."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(PROMISED))
        self.end_headers()
        self.wfile.write(bytes(SENT if self.path.startswith("/cut/") else PROMISED))
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the class above
        """Be silent."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("name", "how"), [("mnist", "cut"), ("mnist", "another"), ("cifar10", "cut")])
def test_a_download_that_is_not_the_file_is_one_line_and_nothing_is_kept(
    kmgan: Command, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, how: str
) -> None:
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path / "cache"))
    known = getattr(datasets, data.DATASETS[name].torchvision)
    if name == "cifar10":
        monkeypatch.setattr(known, "url", f"{address}/{how}/cifar-10-python.tar.gz")
    else:
        monkeypatch.setattr(known, "mirrors", [f"{address}/{how}/"])
    status, _, err = kmgan("data", "fetch", name)
    assert status == 2
    (said,) = [line for line in err.splitlines() if line.startswith("kmgan: ")]
    assert f"{name} could not be downloaded" in said
    assert err.endswith(said + "\n")
    assert [path for path in cache_root().rglob("*") if path.is_file()] == []
