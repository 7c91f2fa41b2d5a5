"""A stand-in for the WebUI's `modules` and its Lora extension: what our host uses, no more.

The real WebUI is tested in tests/webui; with this one the same code is tested in seconds.

Source: AUTOMATIC1111 1.10.1.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from PIL import Image
from torch import nn


class FifoLock:
    """modules.fifo_lock.FIFOLock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, blocking: bool = True) -> bool:
        return self._lock.acquire(blocking)

    def release(self) -> None:
        self._lock.release()

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self.release()


class State:
    """modules.shared_state.State."""

    def __init__(self) -> None:
        self.begun: list[str] = []  # titles of the jobs that began
        self.interrupted = False
        self.stopping_generation = False
        self.skipped = False
        self.job = ""
        self.job_count = 0
        self.job_no = 0
        self.textinfo: str | None = None

    def begin(self, job: str = "") -> None:
        self.begun.append(job)
        self.job = job
        self.interrupted = False
        self.stopping_generation = False

    def end(self) -> None:
        self.job = ""
        self.job_count = 0

    def interrupt(self) -> None:
        self.interrupted = True


class Option:
    """modules.options.OptionInfo, and what options.set does with its callback."""

    def __init__(self, default: object = None, label: str = "", **rest: object) -> None:
        self.default = default
        self.label = label
        self.section: tuple[str, ...] | None = None
        self.onchange: Callable[[], object] = lambda: None

    def info(self, text: str) -> Option:
        return self


class Options:
    """modules.options.Options."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {"sd_model_checkpoint": "a"}
        self.data_labels = {
            name: Option()
            for name in ("sd_model_checkpoint", "sd_vae", "cross_attention_optimization")
        }

    def __getattr__(self, name: str) -> Any:
        if name in vars(self).get("data", {}):
            return self.data[name]
        if name in vars(self).get("data_labels", {}):
            return self.data_labels[name].default
        raise AttributeError(name)

    def add_option(self, name: str, option: Option) -> None:
        self.data_labels[name] = option

    def set(self, name: str, value: object) -> bool:
        before = self.data.get(name)
        self.data[name] = value
        try:
            self.data_labels[name].onchange()
        except Exception:  # noqa: BLE001 - as the WebUI does
            self.data[name] = before
            return False
        return True


class NetworkOnDisk:
    """network.NetworkOnDisk."""

    def __init__(self, name: str, filename: str) -> None:
        self.name = name
        self.filename = filename
        self.alias = "shared alias"


class Network:
    """network.Network, a loaded LoRA.  deltas: what it adds to the weights of a module, by name."""

    def __init__(self, name: str, deltas: dict[str, torch.Tensor]) -> None:
        self.name = name
        self.deltas = deltas


class DeepDanbooru:
    """modules.deepbooru.DeepDanbooru, whose model gives a picture's mean red, green and blue."""

    def __init__(self) -> None:
        self.model: Any = None
        self.missing = False
        self.running = False

    def start(self) -> None:
        if self.missing:
            raise OSError("no network")
        self.running = True
        self.model = lambda x: x.mean(dim=(1, 2))  # (B, H, W, 3), 0 to 1
        self.model.tags = ["red_theme", "green_theme", "rating:safe"]

    def stop(self) -> None:
        self.running = False


def resize_image(mode: int, image: Image.Image, width: int, height: int) -> Image.Image:
    """modules.images.resize_image, without keeping the sides' ratio."""
    return image.resize((width, height))


def module(name: str, **values: object) -> ModuleType:
    """A module with these names in it."""
    result = ModuleType(name)
    vars(result).update(values)
    return result


class StandIn:
    """The WebUI for one test: entries of sys.modules, and what the tests look at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.lock = FifoLock()
        self.state = State()
        self.opts = Options()
        self.merged_ratios: list[float] = []  # of token merging, as it was set
        self.lora_dir = root / "Lora"
        self.lora_dir.mkdir()
        cpu = torch.device("cpu")
        self.shared = module(
            "modules.shared",
            state=self.state,
            opts=self.opts,
            sd_model=None,
            loaded_hypernetworks=[],
            cmd_opts=SimpleNamespace(lora_dir=str(self.lora_dir), api_auth=None),
            OptionInfo=Option,
            sd_upscalers=[],
        )
        self.devices = module(
            "modules.devices",
            device=cpu,
            cpu=cpu,
            dtype=torch.float32,
            dtype_unet=torch.float32,
            dtype_vae=torch.float32,
            dtype_inference=torch.float32,
            fp8=False,
            cuda_no_autocast=lambda: False,
            autocast=nullcontext,
            torch_gc=lambda: None,
            NansException=RuntimeError,
        )
        self.lowvram = module(
            "modules.lowvram", module_in_gpu=None, send_everything_to_cpu=lambda: None
        )
        self.networks = module(
            "networks",
            loaded_networks=[],
            available_networks={},
            available_network_aliases={},
            forbidden_network_aliases={},
            networks_in_memory={},
            network_apply_weights=self.apply_weights,
        )
        self.scripts = module("modules.scripts", scripts_data=[])
        self.processing = processing()
        modules = {
            "modules.shared": self.shared,
            "modules.devices": self.devices,
            "modules.lowvram": self.lowvram,
            "modules.call_queue": module("modules.call_queue", queue_lock=self.lock),
            "modules.paths_internal": module(
                "modules.paths_internal", default_output_dir=str(root / "outputs")
            ),
            "modules.paths": module(
                "modules.paths",
                models_path=str(root / "models"),
                extensions_dir=str(root / "extensions"),
            ),
            "modules.sd_unet": module("modules.sd_unet", current_unet=None),
            "modules.sd_models": module(
                "modules.sd_models",
                apply_token_merging=lambda model, ratio: self.merged_ratios.append(ratio),
            ),
            "modules.sd_hijack_optimizations": module(
                "modules.sd_hijack_optimizations",
                xformers_attention_forward=object(),
                scaled_dot_product_attention_forward=scaled_dot_product_attention_forward,
            ),
            "modules.deepbooru": module("modules.deepbooru", model=DeepDanbooru()),
            "modules.images": module("modules.images", resize_image=resize_image),
            "modules.scripts": self.scripts,
            "modules.processing": self.processing,
            "networks": self.networks,
            "network": module("network", NetworkOnDisk=NetworkOnDisk),
        }
        package = module("modules", __path__=[])
        for name, entry in modules.items():
            if name.startswith("modules."):
                setattr(package, name.partition(".")[2], entry)
        for name, entry in {"modules": package, **modules}.items():
            monkeypatch.setitem(sys.modules, name, entry)
        # Ours hold the modules that they imported in another test.
        ours = ("lib_singlelora.hosts.webui", "lib_singlelora.extension")
        for name in [name for name in sys.modules if name.startswith(ours)]:
            monkeypatch.delitem(sys.modules, name)

    def apply_weights(self, target: nn.Module) -> None:
        """networks.network_apply_weights: merges what is loaded into the weights, from a backup."""
        wanted = tuple(net.name for net in self.networks.loaded_networks)
        if getattr(target, "network_current_names", ()) == wanted:
            return
        if getattr(target, "network_weights_backup", None) is None:
            target.network_weights_backup = target.weight.detach().clone()
        target.weight.copy_(target.network_weights_backup)
        for net in self.networks.loaded_networks:
            delta = net.deltas.get(target.network_layer_name)
            if delta is not None:
                with torch.no_grad():
                    target.weight.add_(delta)
        target.network_current_names = wanted


def processing() -> ModuleType:
    """modules.processing: its classes keep the last prompt's conditioning, by the prompt's text."""

    class StableDiffusionProcessing:
        cached_c: ClassVar[list[object]] = [None, None]
        cached_uc: ClassVar[list[object]] = [None, None]

    class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
        cached_hr_c: ClassVar[list[object]] = [None, None]
        cached_hr_uc: ClassVar[list[object]] = [None, None]

    return module(
        "modules.processing",
        StableDiffusionProcessing=StableDiffusionProcessing,
        StableDiffusionProcessingTxt2Img=StableDiffusionProcessingTxt2Img,
    )


def scaled_dot_product_attention_forward(
    self: Any, x: torch.Tensor, context: Any = None, mask: Any = None, **rest: object
) -> torch.Tensor:
    """modules.sd_hijack_optimizations.scaled_dot_product_attention_forward, without its options."""
    batch, length, _ = x.shape
    source = x if context is None else context
    q, k, v = (
        part.view(batch, -1, self.heads, part.shape[-1] // self.heads).transpose(1, 2)
        for part in (self.to_q(x), self.to_k(source), self.to_v(source))
    )
    attended = nn.functional.scaled_dot_product_attention(q, k, v)
    result: torch.Tensor = self.to_out(attended.transpose(1, 2).reshape(batch, length, -1))
    return result
