#!/usr/bin/env bash
# Everything that this book still wants from a GPU, the most valuable first: bash benchmarks/gpu.sh OUT [BUDGET]
#
# It needs Python with the library's own requirements (no book tools), a checkout, and KMGAN_DATA. Under OUT it leaves
# records.tar.gz, for `kmgan records unpack`, and bench-gpu.json, for benchmarks/results/. BUDGET is the sweep's, 20m by
# default; called again, the sweep goes on where it stopped, as long as RUNS (by default ~/kmgan-runs) is still there.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
out=$(realpath -m "${1:?a folder for the results}")
budget=${2:-20m}
runs=${RUNS:-$HOME/kmgan-runs}
mkdir -p "$out" "$runs"
python=${PYTHON:-python}

echo "== no step waits for the device, and every method is captured"
"$python" - <<'PY' 2>&1 | tee "$out/sync.txt"
import torch

from kmgan_lib import methods, presets
from kmgan_lib.graph import Stepper
from kmgan_lib.methods.base import draw_noise

device = torch.device("cuda")
for name in sorted(presets.METHODS):
    preset = presets.resolve(f"mnist/{name}", "quick")
    method = methods.create(preset, device=device, seed=0)
    images = torch.randint(0, 256, (2000, 1, 28, 28), dtype=torch.uint8, device=device)
    method.training_set = images
    method.setup(images)
    step, generator = Stepper(method), torch.Generator(device).manual_seed(0)
    count = preset.batch * method.batches_per_step(100)
    batch = torch.rand(count, 1, 28, 28, device=device), torch.randint(10, (count,), device=device)
    noise = draw_noise(preset, count, generator)
    for _ in range(6):
        step(*batch, noise)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(*batch, noise)
        method.step(*batch, noise)
        said = "no sync"
    except RuntimeError as error:
        said = f"waits: {str(error).splitlines()[0]}"
    torch.cuda.set_sync_debug_mode("default")
    print(f"{name}: {said}; {'captured' if step.reason is None else step.reason}")
PY

echo "== speed against the plain loop"
timeout 300 "$python" -m kmgan_lib bench --only plain --only kmeans --device cuda --out "$out/bench-gpu.json"

echo "== what the ledger lacks at the paper's scale, several runs sharing the card"
"$python" -m kmgan_lib sweep --profile paper --jobs "${JOBS:-8}" --budget "$budget" --device cuda \
  --runs "$runs" --results "$out/records"
"$python" -m kmgan_lib records pack "$out/records.tar.gz" --results "$out/records"
