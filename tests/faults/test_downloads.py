"""Downloads that are cut in the middle or are not the file: from a server on this machine, torchvision's way."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch_fidelity.feature_extractor_inceptionv3  # noqa: F401 - its address is replaced
from torchvision import datasets

from kmgan_lib import data
from kmgan_lib.errors import UsageError
from kmgan_lib.files import cache_root
from kmgan_lib.metrics import inception

from ..conftest import Command

PROMISED, SENT = 100_000, 30_000


class Server(BaseHTTPRequestHandler):
    """Promises a file and sends a part of it, or another file, or nothing, by the first part of the address."""

    def do_GET(self) -> None:
        how = self.path.split("/")[1]
        self.send_response(200)
        self.send_header("Content-Length", str(PROMISED))
        self.end_headers()
        if how != "nothing":
            self.wfile.write(bytes(SENT if how == "cut" else PROMISED))
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


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path / "cache"))


def in_the_cache() -> list[Path]:
    return [path for path in cache_root().rglob("*") if path.is_file()]


# Not all of all: the way is the same, and CIFAR-10's is a large archive.
@pytest.mark.parametrize(
    ("name", "how"), [("mnist", "cut"), ("mnist", "garbage"), ("mnist", "nothing"), ("cifar10", "cut")]
)
def test_a_download_that_is_not_the_file_is_one_line_and_nothing_is_kept(
    kmgan: Command, address: str, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    known = getattr(datasets, data.DATASETS[name].torchvision)
    if name == "cifar10":
        monkeypatch.setattr(known, "url", f"{address}/{how}/cifar-10-python.tar.gz")
    else:
        monkeypatch.setattr(known, "mirrors", [f"{address}/{how}/"])
    status, _, err = kmgan("data", "fetch", name)
    assert status == 2
    said = [line for line in err.splitlines() if line.startswith("kmgan: ")]
    assert len(said) == 1
    assert f"{name} could not be downloaded" in said[0]
    assert err.endswith(said[0] + "\n")
    assert in_the_cache() == []
    with pytest.raises(UsageError, match=f"no {name}"):
        data.load(name, download=False, standin="never")


@pytest.mark.parametrize("how", ["cut", "garbage", "nothing"])
def test_weights_that_are_not_the_file_are_one_line_and_are_not_kept(
    kmgan: Command, address: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    module = "torch_fidelity.feature_extractor_inceptionv3.URL_INCEPTION_V3"
    monkeypatch.setattr(module, f"{address}/{how}/weights.pth")
    status, out, err = kmgan("data", "fetch", "inception")
    assert (status, out) == (2, "")
    assert err.startswith("kmgan: the Inception weights could not be downloaded (")
    assert err.count("\n") == 1
    assert in_the_cache() == []
    with pytest.raises(UsageError, match="no weights of the 2015"):
        inception.find_weights()
