"""What every method shares: registration, its two networks, precision, and how features and images come out."""

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from kmgan_lib import distributed
from kmgan_lib.config import Preset
from kmgan_lib.data.images import Images, to_unit
from kmgan_lib.errors import UsageError
from kmgan_lib.methods.copies import Copies
from kmgan_lib.methods.randomness import set_rng
from kmgan_lib.models import layers

CLASSES = 10  # of the data sets with labels


@contextlib.contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Within the block no gradient is computed for the modules' parameters, only through them."""
    held = [p for module in modules for p in module.parameters() if p.requires_grad]
    for p in held:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in held:
            p.requires_grad_(True)


def detached(**values: Tensor) -> dict[str, Tensor]:
    """Numbers to be logged, without their gradients."""
    return {name: value.detach() for name, value in values.items()}


class Method(Copies, ABC):
    """A training method: it holds networks and optimisers, and knows nothing of loops, files or reports.

    A class with a ``name`` of its own registers itself: importing its file makes its presets known to `kmgan list`,
    `train` and `load_generator` (see the book's chapter on a new method). The seed fixes the initial weights.

    Attributes are G as ``generator_net`` and D, a feature extractor, as ``discriminator_net``; ``average_net``, the
    running average of G's weights, from which samples are drawn, or None; ``training_set``, all images (n, ...), set by
    the trainer for methods that look at more than a batch; ``classes``, the number of classes that G and D are told, 0
    for unconditional methods; and ``rng``, the source of the randomness inside a step, on the device.
    """

    name: ClassVar[str]  # the method in ``dataset/method``
    Options: ClassVar[type[Preset]] = Preset  # its presets, with the fields that only this method has
    drawing: ClassVar[tuple[str, ...]] = ("generator",)  # networks that G's optimizer moves, by their names
    clustered: ClassVar[str] = ""  # the option that says how many images K-Means sees, where it begins on some
    short: ClassVar[Mapping[str, float]] = {}  # profile to the share of its iterations, where an iteration takes longer
    on_points: ClassVar[bool] = False  # whether there are presets for the synthetic points too
    labelled: ClassVar[bool] = False  # whether networks may be told the classes

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "name" in cls.__dict__:
            register(cls)

    @classmethod
    def variants(cls, base: Preset) -> Mapping[str, Mapping[str, Any]]:
        """The presets of this method in a group: name behind the slash to what differs from ``base``.

        ``base`` has the group's data and networks with this method's defaults. By default every group has one preset.
        """
        return {cls.name: {}}

    @classmethod
    def check(cls, preset: Preset) -> None:
        """Raise a `UsageError` for settings that do not go together."""
        if preset.conditional and (not cls.labelled or preset.network == "synthetic"):
            raise UsageError("conditional=true needs method dcgan, and images: all else uses no labels")

    @classmethod
    def check_data(cls, preset: Preset, images: Images) -> None:
        """Raise a `UsageError` for data that this method cannot learn from."""
        known = 0 if images.labels is None else 1 + int(images.labels.max())
        if preset.conditional and not known:
            raise UsageError(f"{preset.dataset} has no labels, and conditional=true needs them")
        if preset.conditional and known > CLASSES:
            raise UsageError(f"conditional=true knows {CLASSES} classes, and {preset.dataset} has {known}")
        there = min(len(images), int(getattr(preset, cls.clustered)) if cls.clustered else 0)
        if cls.clustered and preset.k > there:
            raise UsageError(f"k={preset.k} centers need as many images, and there are {there}")
        if getattr(preset, "grouping", None) == "true" and not 0 < known <= preset.k:
            least = f"k of at least {known}, its number of classes" if known else "a data set with labels"
            raise UsageError(f"grouping=true needs {least}")

    def __init__(self, preset: Preset, *, device: torch.device, seed: int):
        self.preset, self.device, self.seed = preset, device, seed
        self.training_set: Tensor | None = None
        self.options: Any = preset  # with the fields of `Options`
        self.classes = CLASSES if preset.conditional else 0
        self.rng = torch.Generator(device).manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator_net = self.make_generator(preset)
            self.discriminator_net = self.make_discriminator(preset)
            self._build()
        if preset.initial_scale == "fan-in":
            with torch.device("meta"):
                full = [make(preset.replace(width=1.0)) for make in (self.make_generator, self.make_discriminator)]
            layers.widen_weights(self.generator_net, full[0])
            if preset.norm != "spectral":
                layers.widen_weights(self.discriminator_net, full[1])
        self.average_net = copy.deepcopy(self.generator_net).requires_grad_(False) if preset.average else None
        for net in (*self.networks().values(), *filter(None, [self.average_net])):
            net.to(device=device)
            if preset.network != "synthetic":
                net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
            if distributed.world_size() > 1 and net is not self.average_net:
                layers.sync_batch_norm(net, device.type == "cuda")
        self._optimise()

    def linear(self, inputs: int, outputs: int = 1) -> nn.Linear:
        """A linear layer on D's features, its weights drawn as the networks' are (Table 2's: by PyTorch's default)."""
        layer = nn.Linear(inputs, outputs)
        if self.preset.network != "synthetic":
            layers.initialise(layer)
        if self.preset.initial_scale == "fan-in" and self.preset.head == "penultimate":
            with torch.no_grad():
                layer.weight.mul_(self.preset.width**-0.5)
        return layer

    def _build(self) -> None:
        """Networks beyond G and D; weights are drawn here so that the seed covers them."""
        return

    def networks(self) -> dict[str, nn.Module]:
        """All trained networks by name, as they stand in checkpoints: the attributes that have parameters."""
        nets = {name.removesuffix("_net"): net for name, net in vars(self).items() if isinstance(net, nn.Module)}
        return {name: net for name, net in nets.items() if name != "average" and any(True for _ in net.parameters())}

    def _optimise(self) -> None:
        """Make the optimizers, here an Adam for G and one for all other networks."""
        drawing = [p for name in self.drawing for p in self.networks()[name].parameters()]
        judging = [p for net in self._judging() for p in net.parameters() if p.requires_grad]
        self.discriminator_adam, self.generator_adam = self.adam(judging), self.adam(drawing)

    def _judging(self) -> list[nn.Module]:
        return [net for name, net in self.networks().items() if name not in self.drawing]

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """All optimisers by name, as they stand in checkpoints: the attributes that are some."""
        return {n.rpartition("_")[0]: o for n, o in vars(self).items() if isinstance(o, torch.optim.Optimizer)}

    def setup(self, images: Tensor) -> None:
        """Prepare on the whole training set (n, ...) once, before the first step; not called on resume."""
        return

    def batches_per_step(self, iteration: int) -> int:
        """Number of batches that one step takes, given how many steps are done.

        A step is one update of G. A method that updates D more often gets the batches of all these updates at once.
        """
        return 1

    @property
    def capturable(self) -> bool:
        """Whether Python does the same in every step, so that a CUDA graph of one step stands for all."""
        return True

    @abstractmethod
    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch; returns 0-dim tensors to be logged and never waits for the device.

        Images (b, ...) are float in [0, 1], noise is (b, z_dim); where `batches_per_step` is not 1, that many batches
        one after the other. Labels (b,) are real classes, at which only conditional methods and controls may look.
        """

    @torch.no_grad()
    def update_average(self, iteration: int) -> None:
        """Move the average of G's weights after an iteration, counted from 1; early on it follows G more closely."""
        if self.average_net is not None:
            decay = min(self.preset.average, iteration / (iteration + 10))
            average, last = (tuple(net.parameters()) for net in (self.average_net, self.generator_net))
            get_ema_multi_avg_fn(decay)(average, last, 0)  # one kernel on a GPU

    def before_step(self, done: int) -> None:
        """What is due now and then, after so many steps and before the next: here a method may wait for the device."""
        return

    def adam(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Adam:
        """Adam with the preset's settings, as one fused kernel that a CUDA graph can capture."""
        p, capturable = self.preset, self.device.type == "cuda"
        return torch.optim.Adam(
            list(parameters), lr=p.learning_rate, betas=(p.beta1, p.beta2), fused=True, capturable=capturable
        )

    def _update_generator(
        self, loss: Callable[[Tensor], Tensor], fake: Tensor, *, updates: int = 1,
        redraw: Callable[[], Tensor] | None = None,
    ) -> Tensor:  # fmt: skip
        """Update G on ``loss(images)``, the other networks held still; again on images that it draws anew."""
        value = torch.zeros((), device=self.device)
        for update in range(updates):
            with frozen(*self._judging()):
                value = loss(redraw() if update and redraw else fake)
                self._update(self.generator_adam, value)
        return value.detach()

    def _update(self, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        distributed.average_gradients(optimiser)
        optimiser.step()

    def autocast(self) -> torch.autocast:
        """The precision in which networks run. Features, centers and losses stay in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.preset.precision == "bf16")

    def run_net(self, net: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
        """Output in float32 of a network."""
        with self.autocast():
            return layers.to_float32(net(*inputs))

    def D(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Features in float32 of the whole batch (b, d), of which this rank has the images."""
        return distributed.all_gather(self.run_net(self.discriminator_net, images, labels if self.classes else None))

    def G(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (b, ...) in float32, in the network's present mode."""
        return self.run_net(self.generator_net, noise, labels if self.generator_classes(self.preset) else None)

    def _subset(self, images: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """At most so many of the images, in random order."""
        chosen = torch.randperm(len(images), generator=generator, device=self.device)[:count]
        return images[chosen.to(images.device)]

    def batches(self, images: Tensor, size: int | None = None) -> Iterator[Tensor]:
        """The data set in order, in float batches on the device; a last batch of one image joins its neighbour."""
        *parts, last = images.split(size or self.preset.batch)
        if parts and len(last) < 2:
            last = torch.cat([parts.pop(), last])
        for part in (*parts, last):
            yield to_unit(part.to(self.device))

    def kept(self) -> dict[str, nn.Module | Tensor | None]:
        """What checkpoints hold beside networks, optimizers and random numbers, such as centers, by name."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            **{name: part.state_dict() if isinstance(part, nn.Module) else part for name, part in self.kept().items()},
            "networks": {name: net.state_dict() for name, net in self.networks().items()},
            "average": None if self.average_net is None else self.average_net.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers().items()},
            "rng": self.rng.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`, in place."""
        for name, net in self.networks().items():
            net.load_state_dict(state["networks"][name])
        if self.average_net is not None:
            self.average_net.load_state_dict(state["average"])
        for name, optimiser in self.optimisers().items():
            saved, here = state["optimisers"][name], {"capturable": optimiser.defaults["capturable"]}
            groups = [group | here for group in saved["param_groups"]]  # the checkpoint may be of another device
            optimiser.load_state_dict({**saved, "param_groups": groups})
        for name, part in self.kept().items():
            if isinstance(part, nn.Module):
                part.load_state_dict(state[name])
            elif part is not None:
                part.copy_(torch.as_tensor(state[name]))
        if "rng" in state:
            set_rng(self.rng, state["rng"])


METHODS: dict[str, type[Method]] = {}


def register(method: type[Method]) -> None:
    """Make a method and its presets known by name. A file that is imported again replaces what it registered."""
    METHODS[method.name] = method
