"""Settings of the sheet: its axes, prompts and what else is compared on it."""

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
    """The sheet: every combination of what the lists hold; x, y and z say where each lies."""

    epochs: str = setting("all", label="Epochs", help="'all', or numbers such as 2,4,6.")
    strengths: tuple[float, ...] = setting(
        (0.4, 0.6, 0.8, 1.0),
        label="Strengths",
        low=-4,
        high=4,
        help="Strengths of the LoRA, one column each.",
    )
    presets: tuple[str, ...] = setting(
        ("ALL",),
        label="Block presets",
        help=(
            "Block-weight presets, one block of rows each; "
            'values instead of a name stand in quotes: ALL,"1,0,0, …".'
        ),
    )
    preset_folders: tuple[str, ...] = setting(
        (),
        label="Preset folders",
        path="program",
        help=(
            "Where an lbwpresets.txt of your own lies: LBW's "
            "folder or the WebUI's. Inside the WebUI it is found without being named."
        ),
    )
    checkpoints: tuple[str, ...] = setting(
        (),
        label="Several checkpoints",
        path="program",
        help=(
            "Names of the host's, or files, to see "
            "whether she works on others than the one she was trained on."
        ),
    )
    refine: tuple[float, ...] = setting(
        (),
        label="Redraw at",
        low=0,
        high=4,
        help=(
            "Strengths at which each picture is redrawn from itself (img2img), the cure for an "
            "overfit LoRA; 0 is the picture as it was."
        ),
    )
    refine_denoise: float = setting(
        0.5,
        label="Redraw denoise",
        low=0,
        high=1,
        help="How far 'redraw at' may leave the picture.",
    )
    compare: tuple[str, ...] = setting(
        (),
        label="Compare with",
        path="workspace",
        help=(
            "Further LoRA files, or workspaces such as an earlier "
            "version (their recommended file), in rows of their own."
        ),
    )
    seeds: tuple[int, ...] = setting(
        (1,),
        label="Seeds",
        low=-1,
        high=2**32 - 1,
        seed=True,
        help=(
            "One number n up to 1000 means n seeds from 'first seed' on; a larger one or a list "
            "means these seeds."
        ),
    )
    first_seed: int = setting(
        1, label="First seed", low=-1, high=2**32 - 1, seed=True, help="Where counted seeds start."
    )
    prompt: str = setting(
        "",
        label="Prompt",
        help=(
            "Empty: the trigger, the class and a plain scene; {trigger} and {class} stand for hers."
        ),
    )
    x: str = setting(
        "strength", label="Columns", choices=AXES, help="What changes from column to column."
    )
    y: str = setting("epoch", label="Rows", choices=AXES, help="What changes from row to row.")
    z: str = setting(
        "preset",
        label="Tables",
        choices=AXES,
        help="What changes from table to table; whatever else has several values gets tables too.",
    )
    prompts: str = setting(
        "",
        label="Several prompts",
        help=(
            "With | between them, instead of 'prompt': what else the character does. A | within"
            " brackets or in a tag such as :| divides nothing; \\| is a | anywhere."
        ),
    )
    prompt_set: str = setting(
        "none",
        label="Prompt set",
        choices=("none", *PROMPT_SETS),
        help="Prompts made of her captions and traits; they are added to 'several prompts'.",
    )
    negative_prompts: str = setting(
        "",
        label="Several negative prompts",
        help=(
            "With | between them, instead of 'negative prompt'; to see which one spoils her least."
        ),
    )
    search_replace: str = setting(
        "",
        label="Search and replace",
        help="As in the WebUI's X/Y/Z plot: 'red, blue' draws the prompt, then with blue for red.",
    )
    samplers: tuple[str, ...] = setting(
        (), label="Several samplers", help="Instead of 'sampler', to compare them."
    )
    cfg_scales: tuple[float, ...] = setting(
        (),
        label="Several CFG scales",
        low=1,
        high=30,
        help="Instead of 'CFG scale'; lower ones when strong LoRAs look burnt.",
    )
    clip_skips: tuple[int, ...] = setting(
        (),
        label="Several clip skips",
        low=1,
        high=12,
        help="Instead of the training's, when pictures will be drawn with another.",
    )
