"""Whether a pass of the WebUI's U-Net may be recorded: who else takes part in it."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

# Whose functions launch the same kernels for the same shapes while no LoRA, no hypernetwork, no
# token merging and no SD Unet is in use, which is so while the networks are lent: PyTorch, ldm and
# sgm, the WebUI, its Lora and hypertile extensions
KNOWN = ("torch", "ldm", "sgm", "modules", "networks", "hypertile", "lib_singlelora")
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
GLOBAL_HOOKS = tuple(f"_global{name}" for name in HOOKS)


def obstacle(unet: nn.Module, moves_in_a_pass: bool) -> str:
    """Why a CUDA graph may not hold a pass; "" where it may.

    unet: without branches of ours.
    moves_in_a_pass: --medvram or --lowvram.
    """
    if moves_in_a_pass:
        return "with --medvram or --lowvram, which move parts between passes"
    if any(getattr(torch_module, name, None) for name in GLOBAL_HOOKS):
        return "with a hook on every module, which another extension has set"
    for name, module in unet.named_modules():
        hooks = [hook for kind in HOOKS for hook in getattr(module, kind, {}).values()]
        if hooks:
            return f"with a hook of {_origin(hooks[0])} on the U-Net's {name or 'whole'}"
        origin = _origin(module.forward)
        if origin.partition(".")[0] not in KNOWN:
            return f"with {origin} in place of the U-Net's {name or 'whole pass'}"
    return ""


def _origin(call: Any) -> str:
    """The module that a function was written in, whatever it wraps and is named after."""
    function = getattr(call, "__func__", call)
    names = getattr(function, "__globals__", None)
    return str(names["__name__"] if names else type(function).__module__)
