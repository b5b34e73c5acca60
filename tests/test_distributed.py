"""Several processes on the CPU train what one process trains; a lost one ends the run and spoils nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kmgan_lib import checkpoint, distributed, methods, presets, shared_memory, shared_update, shares
from kmgan_lib.errors import UsageError
from kmgan_lib.graph import Stepper
from kmgan_lib.methods.base import draw_noise
from kmgan_lib.models.synchronised import synchronise
from kmgan_lib.run import Run

SMALL: dict[str, Any] = {
    "batch": 12, "width": 0.125, "feature_dim": 12, "k": 3, "init_images": 24, "components": 2, "critic_updates": 2,
    "burst": 2, "kernels": 4, "z_dim": 10,
}  # fmt: skip
# k = 2 centers, which reduced KM-GAN's D sees as a batch, are fewer than three ranks.
CASES: dict[str, dict[str, Any]] = {
    **{f"digits/{name}": {} for name in sorted(presets.METHODS)},
    "digits/reduced-fair": {"k": 2}, "digits/kmgan-generalized": {"fresh": True, "fake_labels": "own", "clip": 0.5},
    "digits/kmgan-random": {"per_cluster": True}, "digits/kmgan-true": {"k": 10},
    "digits/kmgan": {"center_update": "recluster", "recluster_every": 2}, "synthetic/kmgan": {}, "cifar10-32/kmgan": {},
}  # fmt: skip
STEPS = 4


def steps(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Losses of each step; centers, features, images and the optimisers' moments after the last."""
    known = presets.resolve(name).fields()
    sizes = {key: value for key, value in SMALL.items() if key in known}
    method = methods.create(presets.resolve(name, **{**sizes, **changes}), device=torch.device("cpu"), seed=0)
    p, generator = method.preset, torch.Generator().manual_seed(0)
    shape = (100,) if p.network == "synthetic" else (p.channels, p.image_size, p.image_size)
    images = torch.rand(60, *shape, generator=generator)
    method.training_set = images
    method.setup(images)
    step, losses = Stepper(method), []
    for iteration in range(STEPS):
        count = p.batch * method.batches_per_step(100)
        noise = draw_noise(p, count, generator)
        labels = torch.randint(10, (count,), generator=generator)
        chosen = torch.randint(60, (count,), generator=generator)
        losses.append({key: float(value) for key, value in step(images[chosen], labels, noise).items()})
        method.update_average(iteration + 1)
    bank = getattr(method, "bank", None)
    labels = torch.arange(12) % 10
    with torch.no_grad():
        features, pictures = method.D(images[:12], labels), method.G(draw_noise(p, 12, generator), labels)
    states = [state for o in method.optimisers().values() for state in o.state_dict()["state"].values()]
    moments = torch.cat([value.flatten() for state in states for value in state.values() if isinstance(value, Tensor)])
    common = [p for o in method.optimisers().values() for p in parameters_of(o) if shared_update.is_in_common(p)]
    return {
        "losses": losses, "features": features, "images": pictures, "centers": bank.state_dict() if bank else {},
        "moments": moments, "common": len(common),
    }  # fmt: skip


def parameters_of(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [p for group in optimiser.param_groups for p in group["params"]]


def main(out: Path) -> None:
    """Save what every case gives, by name."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    distributed.LARGE = int(os.environ.get("LARGE", distributed.LARGE))
    shared_memory.SLOT = int(os.environ.get("SLOT", shared_memory.SLOT))
    if "SOCKETS" in os.environ:  # as between machines
        shared_memory.possible = lambda: False
    if "PRIVATE" in os.environ:
        distributed.in_common = lambda likes: None
    with distributed.joined(torch.device("cpu")):
        results = {name: steps(name, changes) for name, changes in CASES.items()}
        assert (distributed._memory is None) == (not shared_memory.possible())
        together = not {"SOCKETS", "PRIVATE"} & set(os.environ) and shared_memory.possible()
        assert all((results[name]["common"] > 0) == together for name in ("digits/kmgan", "cifar10-32/kmgan"))
        if distributed.rank() == 0:
            torch.save(results, out)


ROOT = Path(__file__).resolve().parent.parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node"]
CLI = ["-m", "kmgan_lib", "train", "digits/kmgan", "--profile", "smoke", "--device", "cpu"]
SIZES = {"iterations": 30, "checkpoint_every": 10, "snapshots": 1, "width": 0.125, "batch": 12, "init_images": 60}
# Runs one after the other in the same processes, since starting them takes longer than training.
RUNS = """
import json, sys, torch
from kmgan_lib import train
from kmgan_lib.shared_update import is_in_common
torch.set_num_threads(1)
for out, changes in json.loads(sys.argv[1]):
    method = train("digits/kmgan", profile="smoke", device="cpu", out=out, **changes).method
    assert method is None or not any(map(is_in_common, method.discriminator_net.parameters()))
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def on_ranks(ranks: int, *words: str) -> subprocess.Popen[str]:
    """Start Python with these words on a number of ranks."""
    start = [sys.executable] if ranks == 1 else [*TORCHRUN, str(ranks), "--standalone", "--no-python", sys.executable]
    return subprocess.Popen([*start, *words], env=environment(), stderr=subprocess.PIPE, text=True)


def train_on(ranks: int, *runs: tuple[Path, dict[str, Any]]) -> None:
    plan = [(str(out), {**SIZES, **changes}) for out, changes in runs]
    with on_ranks(ranks, "-c", RUNS, json.dumps(plan)) as process:
        said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return {name: steps(name, changes) for name, changes in CASES.items()}
    finally:
        torch.set_default_dtype(before)


# In a set-up with LARGE most gradients count as large; where the slots are small, they go in many pieces.
SETUPS = {
    "2 ranks": {}, "3 ranks": {"LARGE": "100", "SLOT": "16384"}, "2 machines": {"LARGE": "100", "SOCKETS": "1"},
    "2 ranks without common memory": {"LARGE": "100", "PRIVATE": "1"},
}  # fmt: skip


@pytest.fixture(scope="module", params=SETUPS)
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("ranks") / "steps.pt"
    words = [*TORCHRUN, request.param.split()[0], "--standalone", __file__, str(out)]
    setup = environment() | SETUPS[request.param]
    done = subprocess.run(words, env=setup, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return torch.load(out, weights_only=True)


@pytest.mark.parametrize("name", CASES)
def test_ranks_with_shares_of_the_batch_are_one_process_with_all_of_it(
    name: str, alone: dict[str, Any], together: dict[str, Any]
) -> None:
    """In float64: losses, features, images and centers after a few steps, with synchronised batch normalisation."""
    mine, theirs = alone[name], together[name]
    assert len(mine["losses"]) == STEPS
    for a, b in zip(mine["losses"], theirs["losses"], strict=True):
        assert b == pytest.approx(a, rel=1e-9, abs=1e-9)
    for key in ("features", "images"):
        torch.testing.assert_close(theirs[key], mine[key], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(theirs["moments"], mine["moments"], rtol=1e-7, atol=1e-7)  # gradients lose digits
    for key, center in mine["centers"].items():
        torch.testing.assert_close(theirs["centers"][key], center, rtol=1e-9, atol=1e-9)


def test_without_torchrun_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    x = torch.rand(4, 3)
    with distributed.joined(torch.device("cpu")), shares.sharing():
        assert (distributed.rank(), distributed.world()) == (0, 1)
        assert shares.apart(lambda rows: rows, x) is x
        assert distributed.from_rank_zero(lambda: 7) == distributed.rank_zero_first(lambda: 7) == 7
        assert not distributed.any_of(False)
        assert distributed.first_to_speak()
    assert distributed.local_device("auto") == "auto"


@pytest.mark.parametrize("size", ["2", "many", ""])
def test_processes_that_torchrun_did_not_start_are_named(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", size)
    joining = distributed.joined(torch.device("cpu"))
    with pytest.raises(UsageError, match="start them all with torchrun, or unset WORLD_SIZE"), joining:
        pass
    assert distributed.world() == 1


def test_synchronised_layers_keep_their_parameters_and_names() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.BatchNorm1d(4))
    parameters, names = list(net.parameters()), list(net.state_dict())
    x = torch.rand(6, 3)
    expected = net(x)
    synchronise(net)
    assert isinstance(net[1], nn.BatchNorm1d)
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))
    assert names == list(net.state_dict())
    torch.testing.assert_close(net(x), expected)


def weights(run: Run) -> dict[str, Tensor]:
    return checkpoint.load_checkpoint(run.directory, "cpu")["method"]["networks"]["generator"]


def test_a_run_on_two_ranks_can_be_resumed_on_any_number(tmp_path: Path) -> None:
    train_on(1, (tmp_path / "onto-3", {"iterations": 20}))
    train_on(
        2, (tmp_path / "whole", {}), (tmp_path / "cut", {"iterations": 20}), (tmp_path / "cut", {"resume": True}),
        (tmp_path / "onto-1", {"iterations": 20}),
    )  # fmt: skip
    train_on(3, (tmp_path / "onto-3", {"resume": True}))
    train_on(1, (tmp_path / "onto-1", {"resume": True}))
    whole, cut = Run.open(tmp_path / "whole"), Run.open(tmp_path / "cut")
    assert whole.result["device"].startswith("2 x ")
    assert (whole.directory / "samples" / "000030.png").exists()
    assert all(torch.equal(tensor, weights(whole)[name]) for name, tensor in weights(cut).items())
    onto_1, onto_3 = (Run.open(tmp_path / name).history for name in ("onto-1", "onto-3"))
    assert [row["iteration"] for row in onto_1] == [row["iteration"] for row in onto_3] == list(range(1, 31))
    losses = [[row["loss_center"] for row in rows] for rows in (whole.history, onto_1, onto_3)]
    assert losses[1][:20] == losses[0][:20]  # on two ranks both
    assert losses[1][20] == pytest.approx(losses[0][20], rel=0.02)  # float32: rounding grows from step to step
    assert losses[2][0] == pytest.approx(losses[0][0], rel=0.02)


def test_wrong_use_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    with on_ranks(2, *CLI, "--out", str(tmp_path)) as process:
        said = process.communicate(timeout=300)[1]
    lines = [line for line in said.splitlines() if line.startswith("kmgan: ")]
    assert len(lines) == 1
    assert "is not empty" in lines[0]
    assert [p.name for p in tmp_path.iterdir()] == ["something"]


def lose(out: Path, how: signal.Signals, victim: int) -> tuple[float, str]:
    """Seconds from the loss of a rank to the end of the run, and what the run said."""
    sizes = [word for key, value in {**SIZES, "iterations": 100_000}.items() for word in ("--set", f"{key}={value}")]
    with on_ranks(2, *CLI, "--out", str(out), *sizes) as process:
        while not (out / checkpoint.CHECKPOINT).exists():
            assert process.poll() is None
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ranks = [pid for pid in children if f"RANK={victim}" in Path(f"/proc/{pid}/environ").read_text().split("\0")]
        begun = time.monotonic()
        os.kill(int(ranks[0]), how)
        said = process.communicate(timeout=100)[1]
    assert process.returncode != 0
    return time.monotonic() - begun, said


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for the ranks in /proc")
@pytest.mark.parametrize(
    ("how", "victim"),
    [
        (signal.SIGKILL, 1), pytest.param(signal.SIGKILL, 0, marks=pytest.mark.long),
        pytest.param(signal.SIGSTOP, 1, marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_a_lost_worker_ends_the_run_with_one_line_and_a_good_checkpoint(
    tmp_path: Path, how: signal.Signals, victim: int
) -> None:
    seconds, said = lose(tmp_path / "run", how, victim)
    assert seconds < 60
    lines = re.findall(r"^kmgan: .*$", said, re.MULTILINE)
    assert len(lines) == 1, said
    assert "--resume" in lines[0]
    assert "lost" in lines[0]
    done = checkpoint.load_checkpoint(tmp_path / "run", "cpu")["iteration"]
    train_on(1, (tmp_path / "run", {"resume": True, "iterations": done + 5}))
    assert Run.open(tmp_path / "run").result["iterations"] == done + 5


def test_whoever_is_left_says_so_before_torchrun_can_end_it() -> None:
    code = """
import os, signal
from kmgan_lib import distributed, errors, stopping
try:
    with stopping.interruptible(), distributed._lost():
        raise RuntimeError("rank 1 has ended")
except errors.RunFailed as error:
    os.kill(os.getpid(), signal.SIGTERM)
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "lost contact with another worker (rank 1 has ended)" in done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]))
