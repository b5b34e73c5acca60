"""The step of a method as a CUDA graph: one launch per iteration instead of a thousand."""

import logging

import torch
from torch import Tensor

from kmgan_lib import distributed
from kmgan_lib.files import first_line
from kmgan_lib.methods.base import Method

log = logging.getLogger(__name__)
WARM_UP = 3  # ordinary steps before the capture: optimizers make their state, libraries choose their kernels
Losses = dict[str, Tensor]


class _Captured:
    """A graph of one step, with its outputs, and its inputs in tensors at fixed addresses."""

    def __init__(self, method: Method, batch: tuple[Tensor | None, ...], stream: torch.cuda.Stream | None):
        self.graph, self.inputs = torch.cuda.CUDAGraph(), [None if part is None else part.clone() for part in batch]
        self.graph.register_generator_state(method.rng)
        for optimiser in method.optimisers().values():
            optimiser.zero_grad(set_to_none=True)
        # Other threads, such as a notebook's, may keep using the device.
        with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
            self.losses = method.step(*self.inputs)  # pyright: ignore[reportArgumentType]

    def replay(self, batch: tuple[Tensor | None, ...]) -> Losses:
        for mine, new in zip(self.inputs, batch, strict=True):
            if mine is not None and new is not None:
                mine.copy_(new)
        self.graph.replay()
        return self.losses


class Stepper:
    """Calls `Method.step`, or replays it from a CUDA graph where that is possible; ``reason`` says why it is not.

    For each number of batches the first steps run without a graph, on the stream of the capture, as its warm-up.
    """

    def __init__(self, method: Method):
        self.method = method
        self.reason = None if method.device.type == "cuda" else "CUDA graphs need a CUDA device"
        self._seen: dict[int, int] = {}
        self._graphs: dict[int, _Captured] = {}
        self._stream: torch.cuda.Stream | None = None  # one for all: autograd remembers the stream of a parameter
        if self.reason is None and distributed.world_size() > 1:
            self.reason = "several devices communicate within a step"
            log.warning("no CUDA graph: %s", self.reason)

    def __call__(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> Losses:
        """One iteration. The losses are valid until the next one."""
        if self.reason is not None:
            return self.method.step(images, labels, noise)
        count, batch = len(images), (images, labels, noise)
        if count not in self._graphs:
            seen = self._seen[count] = self._seen.get(count, 0) + 1
            if seen <= WARM_UP:
                return self._on_side_stream(*batch)
            try:
                self._graphs[count] = _Captured(self.method, batch, self._stream)
            except RuntimeError as error:  # what PyTorch raises for everything that a stream cannot capture
                self.reason = f"the capture failed ({first_line(error)})"
                log.warning("no CUDA graph: %s; training goes on without it, more slowly", self.reason)
                return self.method.step(*batch)
        return self._graphs[count].replay(batch)

    def _on_side_stream(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> Losses:
        """A step on the stream of the capture, so that its allocations do not belong to the main stream."""
        self._stream = self._stream or torch.cuda.Stream(self.method.device)
        main = torch.cuda.current_stream(self.method.device)
        self._stream.wait_stream(main)
        with torch.cuda.stream(self._stream):
            losses = self.method.step(images, labels, noise)
        main.wait_stream(self._stream)
        return losses
