"""Settings of the sheet: its axes, and what is compared on it."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting
from .drawing import DrawingSettings

AXES = (
    "epoch",
    "strength",
    "preset",
    "refine",
    "prompt",
    "negative_prompt",
    "search_replace",
    "seed",
    "sampler",
    "cfg_scale",
    "clip_skip",
    "checkpoint",
    "none",
)
PROMPT_SETS = ("general", "custom_outfit", "poses", "viewpoints", "backgrounds")


@dataclass(frozen=True)
class PlotSettings(DrawingSettings):
    """Sheet.

    Every combination of what the lists hold is drawn; x, y and z say where each list lies.
    """

    epochs: str = setting("all", label="Epochs", help="all, or numbers such as 2,4,6.")
    strengths: tuple[float, ...] = setting(
        (0.4, 0.6, 0.8, 1.0), label="Strengths", low=-4, high=4, help="LoRA strengths to compare."
    )
    presets: tuple[str, ...] = setting(
        ("ALL", "OUTD"),
        label="Block presets",
        help=(
            "Block-weight presets to compare. Weights may stand in a name's place, in quotes: "
            'ALL,"1,0,0, …".'
        ),
    )
    preset_folders: tuple[str, ...] = setting(
        (),
        label="Preset folders",
        path="program",
        help=(
            "Folders with an lbwpresets.txt of your own: LBW's or the WebUI's. Inside the WebUI "
            "it is found automatically."
        ),
    )
    checkpoints: tuple[str, ...] = setting(
        (),
        label="Several checkpoints",
        path="program",
        help=(
            "Checkpoints by the host's name for them or as files, to see whether the LoRA works "
            "on others than the one it was trained on."
        ),
    )
    refine: tuple[float, ...] = setting(
        (),
        label="Redraw at",
        low=0,
        high=4,
        help=(
            "LoRA strengths at which each picture is redrawn by img2img, the remedy for an "
            "overfit LoRA; 0 is the picture as it was."
        ),
    )
    refine_denoise: float = setting(
        0.5,
        label="Redraw denoising strength",
        low=0,
        high=1,
        help="How far 'Redraw at' may depart from the picture.",
    )
    compare: tuple[str, ...] = setting(
        (),
        label="Compare with",
        path="workspace",
        help=(
            "Further LoRA files, or workspaces such as an earlier version (their recommended "
            "file), in rows of their own."
        ),
    )
    seeds: tuple[int, ...] = setting(
        (1,),
        label="Seeds",
        low=-1,
        high=2**32 - 1,
        seed=True,
        help=(
            "A single number n up to 1000: n seeds from 'First seed' on. A larger number or a "
            "list: these seeds."
        ),
    )
    first_seed: int = setting(
        1, label="First seed", low=-1, high=2**32 - 1, seed=True, help="Where counted seeds start."
    )
    prompt: str = setting(
        "",
        label="Prompt",
        help=(
            "Empty: the trigger, the class, the clothes that captions name, and a plain scene. "
            "{trigger}, {class} and {outfit} stand for the character's."
        ),
    )
    x: str = setting("strength", label="Columns", choices=AXES, help="What varies by column.")
    y: str = setting("epoch", label="Rows", choices=AXES, help="What varies by row.")
    z: str = setting(
        "preset",
        label="Tables",
        choices=AXES,
        help="What varies by table; everything else with several values gets tables too.",
    )
    prompts: str = setting(
        "",
        label="Several prompts",
        help=(
            "Instead of 'Prompt', separated by |. A | inside brackets or in a tag such as :| "
            "does not separate; \\| is always a literal |."
        ),
    )
    prompt_set: str = setting(
        "none",
        label="Prompt set",
        choices=("none", *PROMPT_SETS),
        help=(
            "Prompts built from the captions and the character's traits, added to 'Several "
            "prompts'."
        ),
    )
    negative_prompts: str = setting(
        "",
        label="Several negative prompts",
        help=(
            "Instead of 'Negative prompt', separated by |, to see which one harms the character "
            "least."
        ),
    )
    search_replace: str = setting(
        "",
        label="Search and replace",
        help=(
            "Prompt S/R of the WebUI's X/Y/Z plot: 'red, blue' draws the prompt, then the prompt "
            "with blue for red."
        ),
    )
    samplers: tuple[str, ...] = setting(
        (), label="Several samplers", help="Instead of 'Sampler', to compare them."
    )
    cfg_scales: tuple[float, ...] = setting(
        (),
        label="Several CFG scales",
        low=1,
        high=30,
        help="Instead of 'CFG scale'; try lower ones when high LoRA strengths look burnt.",
    )
    clip_skips: tuple[int, ...] = setting(
        (),
        label="Several clip skips",
        low=1,
        high=12,
        help="Instead of the training's, if pictures will be generated with another.",
    )
