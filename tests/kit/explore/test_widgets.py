"""The widgets, drawn here and moved in a real kernel by the messages that a browser would send."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from kmgan_book import explore
from kmgan_book.explore.explorer import WIDGET, Explorer
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import Judge
from kmgan_lib.training.run import Run

SETUP = """
from kmgan_book import explore
from kmgan_lib.training.run import Run
run = Run.open({directory!r})
"""
MAKE = {
    "clusters": "explore.explore_clusters(run)",
    "interpolation": "explore.explore_interpolation(run.generator, run.label)",
    "classes": "explore.explore_classes(run)",
    "gate": "explore.explore_gate(run.history, run.label)",
}


@pytest.fixture(scope="module")
def run(pictures: Run, digits_judge: Judge) -> Run:
    """A run from its directory, with the classifier in the cache."""
    return Run.open(pictures.directory)


@pytest.mark.parametrize("name", MAKE)
def test_without_a_kernel_there_are_pictures(run: Run, name: str) -> None:
    explorer: Explorer = eval(MAKE[name], {"explore": explore, "run": run})
    frames = re.findall(r"<img [^>]*>", explorer.html)
    assert len(frames) == len(explorer.frames) >= 4
    assert sum("hidden" not in frame for frame in frames) == 1
    assert len(explorer.html) < 400_000
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/html"] == explorer.html
    assert bundle[WIDGET]["model_id"] == explorer.widget.model_id


def test_the_gate_counts_the_steps() -> None:
    history = [{"iteration": float(step), "loss_center": float(step)} for step in range(1, 11)]
    explorer = explore.explore_gate(history, "live · smoke · digits · seed 0")
    (axes,) = explorer.draw(d_round=7.0).axes
    assert axes.get_title().endswith("30% of the center steps are taken")
    with pytest.raises(UsageError, match="no center loss"):
        explore.explore_gate([{"iteration": 1.0, "loss_d": 1.0}], "live")


def test_ipywidgets_is_not_needed() -> None:
    hidden = "import sys; sys.modules['ipywidgets'] = None; from kmgan_book import explore; "
    draw = "import matplotlib.pyplot as plt; e = explore.Explorer(lambda n: plt.figure(), "
    show = "[explore.Control('n', 'n', [1], 1)], {'1': {'n': 1}}, 'alt'); print(*e._repr_mimebundle_())"
    found = subprocess.run([sys.executable, "-c", hidden + draw + show], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["text/plain", "text/html"]


class Kernel:
    """A kernel and what a browser does with it."""

    def __init__(self, client: BlockingKernelClient):
        self.client = client

    def execute(self, code: str) -> Any:
        """Run code and return what its last expression shows as text."""
        shown: list[Any] = []

        def keep(message: dict[str, Any]) -> None:
            if message["msg_type"] == "execute_result":
                shown.append(message["content"]["data"]["text/plain"])

        reply = self.client.execute_interactive(code, output_hook=keep, timeout=300)
        assert reply["content"]["status"] == "ok", "\n".join(reply["content"].get("traceback", []))
        return shown[0] if shown else None

    def move(self, model: str, index: int) -> tuple[float, list[dict[str, Any]]]:
        """Move a slider, as the front end does; return the seconds until the kernel is idle, and what it sent."""
        content = {"comm_id": model, "data": {"method": "update", "state": {"index": index}, "buffer_paths": []}}
        message = self.client.session.msg("comm_msg", content)
        began, sent = time.monotonic(), []
        self.client.shell_channel.send(message)
        while True:
            answer = self.client.get_iopub_msg(timeout=60)
            if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if answer["msg_type"] == "comm_msg":
                sent.append(answer["content"]["data"].get("state", {}))
            if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
                return time.monotonic() - began, sent


@pytest.fixture(scope="module")
def kernel(run: Run) -> Iterator[Kernel]:
    """A kernel that has opened the run."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        started = Kernel(client)
        started.execute(SETUP.format(directory=str(run.directory)))
        yield started
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("name", MAKE)
def test_a_widget_reacts_within_a_second(kernel: Kernel, name: str) -> None:
    model = kernel.execute(f"explorer = {MAKE[name]}; explorer.widget.children[0].model_id").strip("'")
    seconds = []
    for index in (3, 1, 4):
        before = kernel.execute("explorer.widget.children[-1].value[-400:]")
        taken, sent = kernel.move(model, index)
        (picture,) = [state["value"] for state in sent if "<img" in str(state.get("value", ""))]
        assert 'src="data:image/webp;base64,' in picture
        assert kernel.execute("explorer.widget.children[-1].value[-400:]") != before
        seconds.append(taken)
    assert min(seconds) < 1, f"{name} took {min(seconds):.1f} s"  # other work on the machine may slow some of them
