#!/usr/bin/env bash
# Everything that this book still needs from a GPU, the most valuable first: bash benchmarks/gpu.sh OUT [BUDGET]
#
# It installs this checkout, editable, into the environment of PYTHON (python), which another checkout may be using.
# It needs a checkout, KMGAN_DATA, and Python (PYTHON=...) with the library's own requirements, pytest-xdist and
# hypothesis; without a network, WHEELS names a folder with the small ones that are missing. JOBS runs (8) of
# PROFILE (paper) share the GPU. Small networks leave most of it idle: with NVIDIA's Multi-Process Service, used where
# it is installed, eight runs took 27 s, and 44 s without it, tried once. In OUT it leaves tests.txt, records.tar.gz, to
# unpack in book/results, and bench-gpu.json, for benchmarks/results/. BUDGET is the sweep's, 20m by default; called
# again, the sweep resumes where it stopped, as long as RUNS (by default ~/kmgan-runs) is still there. The exit status is
# that of the first part that failed; the later ones run all the same.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export PYTHONPATH="$PWD:$PWD/book${PYTHONPATH:+:$PYTHONPATH}"
out=$(realpath -m "${1:?a folder for the results}")
budget=${2:-20m}
runs=${RUNS:-$HOME/kmgan-runs}
jobs=${JOBS:-8}
profile=${PROFILE:-paper}
python=${PYTHON:-python}
"$python" -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else "PyTorch sees no GPU here")' || exit 1
mkdir -p "$out" "$runs" || exit 1
[ -z "${WHEELS:-}" ] ||
  "$python" -m pip install --quiet --no-index --find-links "$WHEELS" pydantic jaxtyping beartype filelock || exit 1
# `kmgan sweep` and `kmgan records` are entry points of the book's kit: without an installation they do not exist.
"$python" -m pip install --quiet --no-deps --no-build-isolation -e . -e ./book || exit 1
status=0
failed() { [ "$status" -ne 0 ] || status=$1; }

echo "== every method is captured, repeats its plain steps, waits for nothing, resumes and is measured"
"$python" -m pytest tests/test_cuda.py tests/methods/test_no_sync.py -n "$jobs" -p no:benchmark -p no:cacheprovider \
  2>&1 | tee "$out/tests.txt" || failed 1

echo "== what the ledger lacks at the profile $profile, several runs sharing the GPU"
if command -v nvidia-cuda-mps-control > /dev/null; then
  CUDA_MPS_PIPE_DIRECTORY=$(mktemp -d)
  export CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY=$CUDA_MPS_PIPE_DIRECTORY
  nvidia-cuda-mps-control -d
  trap 'echo quit | nvidia-cuda-mps-control' EXIT
fi
"$python" -m kmgan_lib sweep --profile "$profile" --jobs "$jobs" --budget "$budget" --device cuda \
  --runs "$runs" --results "$out/records" || failed $?
if [ -d "$out/records" ]; then
  "$python" -m kmgan_lib records check --results "$out/records" || failed $?
  tar czf "$out/records.tar.gz" -C "$out/records" . || failed $?
fi

if [ -n "${CUDA_MPS_PIPE_DIRECTORY:-}" ]; then
  echo quit | nvidia-cuda-mps-control
  trap - EXIT
  unset CUDA_MPS_PIPE_DIRECTORY
fi

echo "== speed against the plain loop"
timeout 600 "$python" -m kmgan_lib bench --only plain --only kmeans --device cuda --out "$out/bench-gpu.json" ||
  failed $?
exit "$status"
