"""What every method shares: registration, its two networks, precision, and how features and images come out."""

import copy
import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from kmgan_lib import distributed, models
from kmgan_lib.config import Preset
from kmgan_lib.data.images import Images, content_keys, to_unit
from kmgan_lib.errors import UsageError
from kmgan_lib.models import layers

log = logging.getLogger(__name__)
CLASSES = 10  # of the data sets with labels
NORM_BATCHES = 50  # batches for re-estimated batch-normalization statistics
FEATURE_BATCH = 512  # images of a data set that D sees at once when features are measured
Variants = Mapping[str, Mapping[str, Any]]  # a preset's name after the slash to the fields that differ


def detached(**values: Tensor) -> dict[str, Tensor]:
    """Values to log, without their gradients."""
    return {name: value.detach() for name, value in values.items()}


def class_count(images: Images) -> int:
    """Number of classes in the labels, 0 without labels."""
    return 0 if images.labels is None else 1 + int(images.labels.max())


def draw_noise(preset: Preset, count: int, generator: torch.Generator) -> Tensor:
    """Noise z (count, z_dim) from the preset's distribution, on the generator's device."""
    draw = torch.randn if preset.z_distribution == "normal" else torch.rand
    noise = draw(count, preset.z_dim, generator=generator, device=generator.device)
    return noise if preset.z_distribution == "normal" else noise * 2 - 1


def set_rng(generator: torch.Generator, state: Tensor) -> None:
    """Restore a generator's state in place; a state from another kind of device seeds it instead, with a warning."""
    state = state.cpu()
    if state.numel() == generator.get_state().numel():
        generator.set_state(state)
        return
    generator.manual_seed(int.from_bytes(hashlib.sha256(state.numpy().tobytes()).digest()[:4], "big"))
    log.warning("the random state is from another kind of device than %s: new random numbers", generator.device.type)


METHODS: dict[str, type["Method"]] = {}


class Method(nn.Module, ABC):
    """A training method: its networks and optimizers, without loops, files or reports.

    A class with a ``name`` of its own registers itself, and so makes its presets known (see the book's chapter on a new
    method). The seed fixes the initial weights. The ``state_dict`` has networks, buffers and, as extra state,
    optimizers and random state: all that the next step depends on.

    Attributes: ``generator_net``, G, and ``discriminator_net``, D, a feature extractor; ``average_net``, the running
    average of G's weights, or None; ``feature_dim``, the number d of D's features; ``training_set``, all images
    (n, ...), which the trainer sets; ``classes``, the number of classes that G and D are given; and ``rng``, the random
    generator to use inside a step, on the device.
    """

    name: ClassVar[str]  # the method in ``dataset/method``
    Options: ClassVar[type[Preset]] = Preset  # its presets, with the fields that only this method has
    drawing: ClassVar[tuple[str, ...]] = ("generator_net",)  # networks that G's optimizer moves
    preset: Any  # of the class `Options`
    short: ClassVar[Mapping[str, float]] = {}  # profile to the share of its iterations to run, for slow methods
    on_points: ClassVar[bool] = False  # whether there are presets for the synthetic points too
    labelled: ClassVar[bool] = False  # whether the networks may be given the classes

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" in cls.__dict__:
            METHODS[cls.name] = cls  # in place of an older one, if its file is imported again

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        """Presets of this method in a group; ``base`` has the group's data and networks, and this method's defaults."""
        return {cls.name: {}}

    @classmethod
    def check(cls, preset: Preset) -> None:
        """Raise a `UsageError` for settings that do not go together."""
        if preset.conditional and (not cls.labelled or preset.network == "synthetic"):
            raise UsageError("conditional=true needs method dcgan, and images: others cannot be given labels this way")

    @classmethod
    def check_data(cls, preset: Preset, images: Images) -> None:
        """Raise a `UsageError` for data that this method cannot learn from."""
        known = class_count(images)
        if preset.conditional and not known:
            raise UsageError(f"{preset.dataset} has no labels, and conditional=true needs them")
        if preset.conditional and known > CLASSES:
            raise UsageError(f"conditional=true knows {CLASSES} classes, and {preset.dataset} has {known}")

    @classmethod
    def generator_classes(cls, preset: Preset) -> int:
        """Number of classes that G is given, 0 for none."""
        return CLASSES if preset.conditional else 0

    @classmethod
    def make_generator(cls, preset: Preset) -> nn.Module:
        """The network that generates samples, before it is trained or its weights are loaded."""
        return models.build_generator(preset, cls.generator_classes(preset))

    @classmethod
    def make_discriminator(cls, preset: Preset) -> nn.Module:
        """The network that extracts features."""
        return models.build_discriminator(preset, CLASSES if preset.conditional else 0)

    def __init__(self, preset: Preset, *, device: torch.device, seed: int):
        super().__init__()
        self.preset, self.device, self.seed = preset, device, seed
        self.training_set: Tensor | None = None
        self.classes = CLASSES if preset.conditional else 0
        self.rng = torch.Generator(device).manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator_net = self.make_generator(preset)
            self.discriminator_net = self.make_discriminator(preset)
            self.feature_dim = int(self.discriminator_net.feature_dim)  # pyright: ignore[reportArgumentType]
            self._build()
        if preset.initial_scale == "fan-in":
            with torch.device("meta"):
                full = [make(preset.replace(width=1.0)) for make in (self.make_generator, self.make_discriminator)]
            layers.widen_weights(self.generator_net, full[0])
            if preset.norm != "spectral":
                layers.widen_weights(self.discriminator_net, full[1])
        self.average_net = copy.deepcopy(self.generator_net).requires_grad_(False) if preset.average else None
        self.to(device)
        if preset.network != "synthetic":
            self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if distributed.world_size() > 1:
            layers.sync_batch_norm(self, device.type == "cuda")
        self._optimise()

    def linear(self, inputs: int, outputs: int = 1) -> nn.Linear:
        """A linear layer on D's features, initialized as the networks are (those of Table 2 by PyTorch's default)."""
        layer = nn.Linear(inputs, outputs)
        if self.preset.network != "synthetic":
            layers.initialise(layer)
        if self.preset.initial_scale == "fan-in" and self.preset.head == "penultimate":
            with torch.no_grad():
                layer.weight.mul_(self.preset.width**-0.5)
        return layer

    def _build(self) -> None:
        """Make networks and buffers beyond G and D; weights are drawn here so that the seed covers them."""

    def _optimise(self) -> None:
        """Make the optimizers, one for G and one for all other networks."""
        trained = [(name.partition(".")[0], p) for name, p in self.named_parameters() if p.requires_grad]
        self.discriminator_optimiser = self.optimiser(p for net, p in trained if net not in self.drawing)
        self.generator_optimiser = self.optimiser(p for net, p in trained if net in self.drawing)

    def optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam with the preset's settings, as one fused kernel that a CUDA graph can capture."""
        p, cuda = self.preset, self.device.type == "cuda"
        return torch.optim.Adam(parameters, p.learning_rate, (p.beta1, p.beta2), fused=True, capturable=cuda)

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """All optimizers that are attributes, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, torch.optim.Optimizer)}

    def setup(self, images: Tensor) -> None:
        """Prepare, from the whole training set (n, ...), once before the first step; not called on resume."""

    def batches_per_step(self, iteration: int) -> int:
        """Batches, one per update of D, that a step (one update of G) takes after so many iterations."""
        return 1

    @abstractmethod
    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch; returns 0-dim tensors to log and never waits for the device.

        Images (b, ...) are float in [0, 1], noise is (b, z_dim), labels (b,) are real classes; `batches_per_step`
        batches come concatenated. A CUDA graph of one step is replayed for all, so Python must do the same in each.
        """

    @torch.no_grad()
    def update_average(self, iteration: int) -> None:
        """Move the average of G's weights after an iteration, counted from 1; early on it follows G more closely."""
        if self.average_net is not None:
            decay = min(self.preset.average, iteration / (iteration + 10))
            average, last = (tuple(net.parameters()) for net in (self.average_net, self.generator_net))
            get_ema_multi_avg_fn(decay)(average, last, 0)  # one kernel on a GPU

    def before_step(self, done: int) -> None:
        """Occasional work, after ``done`` steps and before the next; here a method may wait for the device."""

    def _update(self, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        """Step an optimizer on a loss; gradients are computed only for its own parameters."""
        optimiser.zero_grad(set_to_none=True)
        loss.backward(inputs=[p for group in optimiser.param_groups for p in group["params"]])
        distributed.average_gradients(optimiser)
        optimiser.step()

    def run_net(self, net: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
        """Run a network in the preset's precision, with its output in float32. Centers and losses stay in float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.preset.precision == "bf16"):
            return layers.to_float32(net(*inputs))

    def D(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Features (b, d) of the whole batch in float32, where ``images`` are this rank's part of it."""
        return distributed.all_gather(self.run_net(self.discriminator_net, images, labels if self.classes else None))

    def G(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Generated images (b, ...) in float32, in the network's current mode."""
        return self.run_net(self.generator_net, noise, labels if self.generator_classes(self.preset) else None)

    def batches(self, images: Tensor) -> Iterator[Tensor]:
        """The data set in order, in float batches on the device; a last batch of one image joins the one before."""
        *parts, last = images.split(self.preset.batch)
        if parts and len(last) < 2:
            last = torch.cat([parts.pop(), last])
        for part in (*parts, last):
            yield to_unit(part.to(self.device))

    @torch.no_grad()
    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Features (n, d) of images (n, ...) by a copy of D, its batch statistics re-estimated on them (row 22).

        They do not depend on the order of the rows. A conditional D needs the real classes (n,) as labels.
        """
        net = self._copy(self.make_discriminator, self.discriminator_net)
        # Data sets may be sorted by class: a batch of one class lacks the variance between classes, and so would the
        # statistics. An order by content mixes the classes, and is the same however the rows come.
        rows = torch.arange(len(images)).split(FEATURE_BATCH)
        keys = torch.cat([content_keys(to_unit(images[i].to(self.device))) for i in rows])
        mixed = [i for i in keys.argsort().cpu().split(FEATURE_BATCH) if len(i) > 1 or len(rows) == 1]

        def run(chosen: Tensor) -> Tensor:
            known = None if labels is None else labels[chosen.to(labels.device)].to(self.device)
            return net(to_unit(images[chosen.to(images.device)].to(self.device)), known)

        layers.reestimate_batch_norm(net, lambda i: run(mixed[i]), min(NORM_BATCHES, len(mixed)))
        return torch.cat([run(chosen) for chosen in rows])

    def _copy(self, make: Callable[[Preset], nn.Module], net: nn.Module) -> nn.Module:
        """A copy of a network that does not communicate, so that one rank can run it alone."""
        with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten
            copied = make(self.preset).to(self.device)
        copied.load_state_dict(net.state_dict())
        return copied

    def eval_generator(self, *, averaged: bool = True) -> nn.Module:
        """A copy of G, or of its average, in evaluation mode, batch statistics re-estimated on fresh noise (row 22)."""
        weights = self.average_net if averaged and self.average_net else self.generator_net
        net = self._copy(self.make_generator, weights)
        generator = torch.Generator(self.device).manual_seed(self.seed)
        classes = self.generator_classes(self.preset)

        def batch(_: int) -> None:
            noise = draw_noise(self.preset, self.preset.batch, generator)
            labels = None
            if isinstance(shares := getattr(net, "shares", None), Tensor):
                labels = torch.multinomial(shares, len(noise), replacement=True, generator=generator)
            elif classes:
                labels = torch.randint(classes, (len(noise),), generator=generator, device=self.device)
            net(noise, labels)

        layers.reestimate_batch_norm(net, batch, NORM_BATCHES)
        return net

    def get_extra_state(self) -> dict[str, Any]:
        """The state of the optimizers and of the random generator."""
        optimisers = {name: optimiser.state_dict() for name, optimiser in self.optimisers().items()}
        return {"optimisers": optimisers, "rng": self.rng.get_state()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore `get_extra_state`, on any kind of device; without a random state the present one stays."""
        for name, optimiser in self.optimisers().items():
            saved, here = state["optimisers"][name], {"capturable": optimiser.defaults["capturable"]}
            optimiser.load_state_dict({**saved, "param_groups": [group | here for group in saved["param_groups"]]})
        if "rng" in state:
            set_rng(self.rng, state["rng"])
