"""Keys of LoRA files as trainers write them, parsed into network, module and tensor.

    kohya, LyCORIS        lora_unet_down_blocks_1_attentions_0_proj_in.lora_down.weight
                          lycoris_…, oft_unet_…
    diffusers, PEFT       unet.down_blocks.1.attentions.0.proj_in.lora_A.weight
                          base_model.model.…
    older diffusers       unet.….attn1.processor.to_q_lora.down.weight
                          ….to_q.lora_linear_layer.up.weight
    OneTrainer, ComfyUI   diffusion_model.input_blocks.4.1.proj_in.lora_A.weight
                          text_encoders.clip_l.transformer.…

Sources: diffusers utils/state_dict_utils.py and loaders/lora_pipeline.py; peft
utils/save_and_load.py; OneTrainer modules/util/convert_lora_util.py; ai-toolkit
toolkit/network_mixins.py; LyCORIS kohya.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from .blocks import SD1, SD2, SDXL, BlockLayout
from .keys import stems

# What a key ends with -> the tensor's name as kohya and LyCORIS write it.
_ENDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern + "$"), name)
    for pattern, name in (
        (r"\.lora_A(?:\.[^.]+)?(?:\.weight)?", "lora_down.weight"),
        (r"\.lora_B(?:\.[^.]+)?\.bias", "lora_up.bias"),
        (r"\.lora_B(?:\.[^.]+)?(?:\.weight)?", "lora_up.weight"),
        (r"(?:\.lora|\.lora_linear_layer|_lora)\.down\.weight", "lora_down.weight"),
        (r"(?:\.lora|\.lora_linear_layer|_lora)\.up\.weight", "lora_up.weight"),
        (r"(?:\.lora|\.lora_linear_layer|_lora)\.(?:network_)?alpha", "alpha"),
        (r"\.(lora_(?:up|down|mid)\.weight)", r"\1"),
        (r"\.(?:lora_magnitude_vector(?:\.[^.]+)*|magnitude)", "dora_scale"),
        (
            r"\.(alpha|dora_scale|scale|scalar|rescale|on_input|diff|diff_b|w_norm|b_norm"
            r"|(?:hada|lokr)_\w+|[ab][12]\.weight"
            r"|bm\.weight|oft_(?:blocks|diag)|oft_R\.\w+|weight|bias|bias_\w+)",
            r"\1",
        ),
    )
)
_OUTPUT = re.compile(r"\.(?:lora_magnitude_vector(?:\.[^.]+)*|magnitude)$")

_UNET_BODY = (
    r"(?=(?:down_blocks|mid_block|up_blocks|input_blocks|middle_block|"
    r"output_blocks|conv_in|conv_out|time_embed"
    r"|out[._]2)[._])"
)
_TEXT_BODY = r"(?=(?:text_model[._])?encoder[._]layers[._]\d)"
# In this order.  te0 is kohya's prefix where there is one text encoder; te is the first or only
# one.
_NETWORKS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (network, re.compile(pattern))
    for network, pattern in (
        (
            "te2",
            r"(?:(?:lora|oft|lycoris)_te2[._]|text_encoder_2\.|"
            r"(?:text_encoders\.)?clip_g\.(?:transformer\.)?)",
        ),
        (
            "te1",
            r"(?:(?:lora|oft|lycoris)_te1[._]|text_encoder_1\.|"
            r"(?:text_encoders\.)?clip_l\.(?:transformer\.)?)",
        ),
        ("te0", r"(?:lora|oft|lycoris)_te[._]"),
        (
            "te",
            r"(?:text_encoder\.|text_encoders\.clip_h\.(?:transformer\.)?|lycoris_)?" + _TEXT_BODY,
        ),
        (
            "unet",
            r"(?:(?:lora|oft|lycoris)_unet[._]|lycoris_|unet\.|"
            r"(?:model\.)?diffusion_model\.|transformer\.)?" + _UNET_BODY,
        ),
        ("unet", r"(?:(?:lora|oft|lycoris)_unet[._]|unet\.|(?:model\.)?diffusion_model\.)"),
    )
)
_PEFT = re.compile(r"(?:base_model\.model\.)+")
_ATTENTION = {
    "to_q": "q_proj",
    "to_k": "k_proj",
    "to_v": "v_proj",
    "to_out_0": "out_proj",
    "to_out": "out_proj",
}

# Other models' networks, by names that only they have.
_STRANGERS = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("Flux", r"double_blocks|single_blocks|single_transformer_blocks"),
        ("Stable Diffusion 3", r"joint_blocks|attn[._]add_[qkv]_proj|lora_te3_"),
        (
            "Wan or another video model",
            r"blocks[._]\d+[._](?:cross_attn|self_attn)[._]|temporal_transformer|motion_modules",
        ),
        ("Stable Cascade", r"lora_prior_unet|lora_prior_te"),
        (
            "Lumina or Z-Image",
            r"layers[._]\d+[._](?:attention|feed_forward)[._]|context_refiner|noise_refiner",
        ),
        (
            "PixArt or another diffusion transformer",
            r"(?:^|[._])transformer_blocks[._]\d+[._]|lora_transformer_",
        ),
        ("a language model", r"model\.layers\.\d+\.(?:self_attn|mlp)\."),
    )
)


@dataclass(frozen=True)
class LoraKey:
    """A parsed key.

    network: unet, te, te0, te1 or te2.
    module: its name in the network, joined by `_`.
    part: the tensor's name as kohya writes it.
    per_output: True for a dora_scale whose name alone tells that it has one magnitude per output.
    """

    network: str
    module: str
    part: str
    per_output: bool = False

    def stem(self, layout: BlockLayout) -> str:
        """kohya's stem in a layout; one that the layout lacks is no module of it."""
        if self.network == "unet":
            return f"lora_unet_{self.module}"
        prefixes = [kohya for _, kohya, _, _ in layout.text]
        return prefixes[1 if self.network == "te2" and len(prefixes) > 1 else 0] + self.module


@lru_cache(maxsize=1 << 14)  # the files of a sheet have the same keys; SDXL's are some 8,000
def parse_key(key: str) -> LoraKey | None:
    """A LoRA's key in any dialect; None for any other key."""
    bare = _PEFT.sub("", key.replace(".processor.", "."))
    found = next(((match, name) for end, name in _ENDS if (match := end.search(bare))), None)
    if found is None:
        return None
    path = bare[: found[0].start()]
    part = found[0].expand(found[1])
    for network, prefix in _NETWORKS:
        if match := prefix.match(path):
            body = path[match.end() :].replace(".", "_")
            if network != "unet":
                body = _text_module(body)
            elif body.endswith("_to_out"):  # to_out_lora of older diffusers stands for to_out.0
                body += "_0"
            return LoraKey(network, body, part, bool(_OUTPUT.search(bare)))
    return None


def layout_of(
    keys: Iterable[LoraKey], shapes: Mapping[LoraKey, tuple[int, ...]], metadata: Mapping[str, str]
) -> BlockLayout:
    """The layout that the modules belong to.

    Where several layouts have them: by tensors' widths, then metadata, then kohya's prefixes.
    shapes: of the tensors.
    """
    keys = list(keys)
    networks = {key.network for key in keys}
    modules = {key.module for key in keys if key.network == "unet"}
    known = {
        layout.name: sum(f"lora_unet_{module}" in stems(layout) for module in modules)
        for layout in (SD1, SDXL)
    }
    if "te2" in networks or known["sdxl"] > known["sd1"]:
        return SDXL
    contexts = {
        shapes[key][1]
        for key in keys
        if "attn2_to_k" in key.module and key.part == "lora_down.weight" and len(shapes[key]) > 1
    }
    entries = ("ss_base_model_version", "modelspec.architecture")
    architecture = " ".join(metadata.get(entry, "") for entry in entries).lower()
    if known["sdxl"] == known["sd1"] and "te0" not in networks and not contexts & {768, 1024}:
        habits = "te1" in networks or any(
            module.startswith(("input_", "output_")) for module in modules
        )
        if SDXL.context in contexts or "sdxl" in architecture or "xl-v1" in architecture or habits:
            return SDXL
    deep = any(
        re.match(r"text_model_encoder_layers_(1[2-9]|2\d)_", key.module)
        for key in keys
        if key.network != "unet"
    )
    v2 = (
        metadata.get("ss_v2") == "True" or "sd_v2" in architecture or "diffusion-v2" in architecture
    )
    return SD2 if deep or v2 or SD2.context in contexts else SD1


def foreign_kind(keys: Iterable[str]) -> str:
    """What a file is that is no LoRA for a known layout, such as "a VAE"; "" if nothing tells."""
    names = list(keys)
    adapter = any(word in key for key in names for word in ("lora", "lokr", "hada", "oft_"))
    # First, for its buffers have names that other models' adapters have too.
    if (
        not adapter
        and any(key.startswith("model.diffusion_model.") for key in names)
        and any(
            key.startswith(("first_stage_model.", "cond_stage_model.", "conditioner."))
            for key in names
        )
    ):
        return "a whole checkpoint"
    for name, pattern in _STRANGERS:
        if any(pattern.search(key) for key in names):
            return f"{'a LoRA for ' if adapter else ''}{name}"
    if any(
        key.startswith(("model.diffusion_model.", "first_stage_model.", "cond_stage_model."))
        for key in names
    ):
        return "a whole checkpoint"
    if any(key.startswith(("encoder.conv_in.", "decoder.conv_in.")) for key in names):
        return "a VAE"
    if any(
        key.startswith(("control_model.", "controlnet_", "lora_controlnet", "input_hint_block"))
        for key in names
    ):
        return "a ControlNet"
    if any(
        key in ("emb_params", "clip_l", "clip_g") or key.startswith("string_to_param")
        for key in names
    ):
        return "a textual inversion embedding"
    return ""


def _text_module(body: str) -> str:
    module = body if body.startswith("text_model_") else f"text_model_{body}"
    head, joint, tail = module.rpartition("_self_attn_")
    return f"{head}{joint}{_ATTENTION.get(tail, tail)}"
