"""The list of `kmgan sweep --print`, handed to xargs and to a job array, as the book says it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kmgan_book import records

# What `sbatch --array=1-N --wrap '...'` does with its command, one task a line; the first task is queued again.
ARRAY = """
pids=""
for SLURM_ARRAY_TASK_ID in $(seq $(wc -l < runs.txt)) 1; do
  export SLURM_ARRAY_TASK_ID
  sh -c 'sh -c "$(sed -n ${SLURM_ARRAY_TASK_ID}p runs.txt)"' > array-$SLURM_ARRAY_TASK_ID.txt 2>&1 &
  pids="$pids $!"
done
failed=0
for pid in $pids; do wait $pid || failed=1; done
exit $failed
"""


@pytest.mark.long
def test_a_printed_list_handed_out_twice_does_every_run_once(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}

    def shell(script: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["sh", "-c", script], cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    words = "kmgan sweep --only 'synthetic/*' --runs 'my runs' --results records --print"
    printed = shell(f"{words} > runs.txt")
    said = printed.communicate()[0]
    assert printed.returncode == 0, said
    plan = (tmp_path / "runs.txt").read_text().splitlines()
    assert len(plan) >= 3
    both = [shell("tr '\\n' '\\0' < runs.txt | xargs -0 -P 2 -I{} sh -c {}"), shell(ARRAY)]
    outputs = [process.communicate(timeout=900)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert len(records.everything(results=tmp_path / "records")) == len(plan)
    logs = list((tmp_path / "my runs").rglob("quick-seed0.log"))
    assert len(logs) == len(plan)
    for log in logs:
        assert log.read_text().count(" iterations, ") == 1  # what a finished training says
