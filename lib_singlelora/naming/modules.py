"""Every module of a layout, enumerated by the rule that builds the networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from .blocks import BlockLayout, is_text

Kind = Literal["linear", "conv", "norm"]
# What a ResBlock or a resampler holds.
RESIDUAL = (".in_layers.2", ".out_layers.3", ".emb_layers.1", ".skip_connection", ".op", ".conv")


@dataclass(frozen=True)
class ModuleSpec:
    """A module that can carry a LoRA.

    name: canonical.
    shape: of its weight, such as (out, in) or (out, in, 3, 3).
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]

    @property
    def is_wide(self) -> bool:
        """True for a convolution over several pixels, which kohya trains with conv_rank only."""
        return self.kind == "conv" and self.shape[-1] > 1


def _linear(name: str, inputs: int, outputs: int) -> ModuleSpec:
    return ModuleSpec(name, "linear", (outputs, inputs))


def _conv(name: str, inputs: int, outputs: int, kernel: int = 3) -> ModuleSpec:
    return ModuleSpec(name, "conv", (outputs, inputs, kernel, kernel))


def _norm(name: str, width: int) -> ModuleSpec:
    return ModuleSpec(name, "norm", (width,))


def _res_block(name: str, inputs: int, outputs: int, layout: BlockLayout) -> Iterator[ModuleSpec]:
    yield _norm(f"{name}.in_layers.0", inputs)
    yield _conv(f"{name}.in_layers.2", inputs, outputs)
    yield _linear(f"{name}.emb_layers.1", 4 * layout.channels, outputs)
    yield _norm(f"{name}.out_layers.0", outputs)
    yield _conv(f"{name}.out_layers.3", outputs, outputs)
    if inputs != outputs:
        yield _conv(f"{name}.skip_connection", inputs, outputs, 1)


def _transformer(name: str, width: int, depth: int, layout: BlockLayout) -> Iterator[ModuleSpec]:
    def projection(part: str) -> ModuleSpec:
        if layout.linear_projections:
            return _linear(f"{name}.{part}", width, width)
        return _conv(f"{name}.{part}", width, width, 1)

    yield _norm(f"{name}.norm", width)
    yield projection("proj_in")
    for i in range(depth):
        block = f"{name}.transformer_blocks.{i}"
        for attention, source in (("attn1", width), ("attn2", layout.context)):
            yield _linear(f"{block}.{attention}.to_q", width, width)
            yield _linear(f"{block}.{attention}.to_k", source, width)
            yield _linear(f"{block}.{attention}.to_v", source, width)
            yield _linear(f"{block}.{attention}.to_out.0", width, width)
        yield _linear(f"{block}.ff.net.0.proj", width, 8 * width)
        yield _linear(f"{block}.ff.net.2", 4 * width, width)
        yield from (_norm(f"{block}.norm{n}", width) for n in (1, 2, 3))
    yield projection("proj_out")


def _unet(layout: BlockLayout) -> Iterator[ModuleSpec]:
    base = layout.channels
    levels = len(layout.multipliers)
    yield _linear("time_embed.0", base, 4 * base)
    yield _linear("time_embed.2", 4 * base, 4 * base)
    if layout.vector:
        yield _linear("label_emb.0.0", layout.vector, 4 * base)
        yield _linear("label_emb.0.2", 4 * base, 4 * base)
    yield _conv("input_blocks.0.0", 4, base)
    width = base
    skips = [base]
    index = 0
    for level, multiplier in enumerate(layout.multipliers):
        for _ in range(2):
            index += 1
            yield from _res_block(f"input_blocks.{index}.0", width, base * multiplier, layout)
            width = base * multiplier
            if layout.depths[level]:
                yield from _transformer(
                    f"input_blocks.{index}.1", width, layout.depths[level], layout
                )
            skips.append(width)
        if level < levels - 1:
            index += 1
            yield _conv(f"input_blocks.{index}.0.op", width, width)
            skips.append(width)
    yield from _res_block("middle_block.0", width, width, layout)
    yield from _transformer("middle_block.1", width, layout.middle_depth, layout)
    yield from _res_block("middle_block.2", width, width, layout)
    for index in range(3 * levels):
        level = levels - 1 - index // 3
        wide = base * layout.multipliers[level]
        yield from _res_block(f"output_blocks.{index}.0", width + skips.pop(), wide, layout)
        width = wide
        if layout.depths[level]:
            yield from _transformer(f"output_blocks.{index}.1", width, layout.depths[level], layout)
        if level and index % 3 == 2:
            yield _conv(
                f"output_blocks.{index}.{upsampler_place(index, layout)}.conv", width, width
            )
    yield _norm("out.0", width)
    yield _conv("out.2", width, 4)


def _text(prefix: str, layers: int, width: int) -> Iterator[ModuleSpec]:
    for i in range(layers):
        layer = f"{prefix}text_model.encoder.layers.{i}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield _linear(f"{layer}.self_attn.{part}", width, width)
        yield _linear(f"{layer}.mlp.fc1", width, 4 * width)
        yield _linear(f"{layer}.mlp.fc2", 4 * width, width)
        yield from (_norm(f"{layer}.layer_norm{n}", width) for n in (1, 2))
    yield _norm(f"{prefix}text_model.final_layer_norm", width)


def upsampler_place(index: int, layout: BlockLayout) -> int:
    """Index of the Upsample in output block `index`: behind the transformer where there is one."""
    return 2 if layout.depths[-1 - index // 3] else 1


@cache
def module_specs(layout: BlockLayout) -> tuple[ModuleSpec, ...]:
    """Every Linear, Conv2d and norm of the text encoders' layers and of the U-Net.

    Source: openaimodel.UNetModel (generative-models), transformers' CLIPTextModel.
    """
    texts = (
        spec for prefix, _, layers, width in layout.text for spec in _text(prefix, layers, width)
    )
    return (*texts, *_unet(layout))


def module_names(layout: BlockLayout, norms: bool = False) -> tuple[str, ...]:
    """Canonical names of every Linear and Conv2d, with `norms` of the norms too."""
    return tuple(spec.name for spec in module_specs(layout) if norms or spec.kind != "norm")


def lora_targets(layout: BlockLayout, conv: bool = False) -> tuple[ModuleSpec, ...]:
    """The modules on which kohya puts a LoRA.

    Text encoders' attention and MLP, and the U-Net's transformers; per-block learning rates change
    nothing of this.
    conv: everything in ResBlocks and resamplers too (LoCon), their Linears and 1×1 convolutions
        included.
    (sd-scripts extends its list of targets in place: in a process that built a LoCon before, it
    adds ResBlocks to a plain LoRA too.)
    Source: sd-scripts networks/lora.py, LoRANetwork.
    """

    def wanted(spec: ModuleSpec) -> bool:
        if spec.kind == "norm":
            return False
        if is_text(spec.name) or ".transformer_blocks." in spec.name:
            return True
        return spec.name.endswith((".proj_in", ".proj_out")) or (
            conv and spec.name.endswith(RESIDUAL)
        )

    return tuple(spec for spec in module_specs(layout) if wanted(spec))
