"""The command line's words for LoRA files: bake, merge, resize, summary, presets."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LoraFileError, PresetError
from ..jobs import Job
from ..naming.block_weights import (
    BlockWeights,
    names_for,
    parse_block_weights,
    remarks,
    with_blocks,
)
from ..naming.blocks import BASE, SD1
from .options import add_json

if TYPE_CHECKING:
    from ..lora.files import LoraFile


def add_parsers(words: Any) -> None:
    """Add the words to argparse's subparsers."""
    bake = words.add_parser(
        "bake", help="multiply block weights and a strength into a copy of a LoRA"
    )
    bake.add_argument(
        "file", type=Path, metavar="FILE", help="a LoRA: LoRA, LoCon, LoHa, LoKr, diff or DoRA"
    )
    bake.add_argument(
        "--preset",
        default="ALL",
        metavar="P",
        help="a name, 12, 17, 20 or 26 values, or kohya's three lists",
    )
    bake.add_argument(
        "--strength", type=float, default=1.0, metavar="S", help="strength of the LoRA (default 1)"
    )
    bake.add_argument(
        "--blocks",
        action="append",
        default=[],
        metavar="BLOCKS=VALUE",
        help="weight of some blocks, over the preset: IN05-OUT05=0.5 or 'NOT M00=0'; repeatable",
    )
    bake.add_argument(
        "--x", type=float, default=1.0, metavar="X", help="value of X in a preset (default 1)"
    )
    bake.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the random values R and U (default 0)",
    )
    bake.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="needed for a DoRA unless all factors are 0 or 1",
    )
    merge = words.add_parser("merge", help="merge epochs of one training into one LoRA")
    merge.add_argument("files", type=Path, nargs="+", metavar="FILE", help="epochs, oldest first")
    merge.add_argument(
        "--method",
        choices=("average", "ema"),
        default="average",
        help="average: plain mean; ema: later epochs count more (default average)",
    )
    merge.add_argument(
        "--decay",
        type=float,
        default=0.7,
        metavar="D",
        help="ema: weight of an epoch relative to the next (default 0.7)",
    )
    resize = words.add_parser("resize", help="reduce the rank of a LoRA, by SVD")
    resize.add_argument("file", type=Path, metavar="FILE", help="a LoRA or LoCon")
    size = resize.add_mutually_exclusive_group(required=True)
    size.add_argument("--rank", type=int, metavar="N", help="new rank of every module")
    size.add_argument(
        "--retain",
        type=float,
        metavar="SHARE",
        help="share of each module's norm to keep, such as 0.95",
    )
    summary = words.add_parser(
        "summary", help="algorithm, rank, origin and block norms of a LoRA file"
    )
    summary.add_argument("file", type=Path, metavar="FILE", help="a LoRA")
    presets = words.add_parser("presets", help="the block-weight presets, and a picture of each")
    presets.add_argument("names", nargs="*", metavar="PRESET", help="some of them (default all)")
    presets.add_argument(
        "--lora",
        type=Path,
        metavar="FILE",
        help="a LoRA: the picture marks blocks that it does not have",
    )
    for sub in (bake, presets):
        sub.add_argument(
            "--presets",
            type=Path,
            action="append",
            default=[],
            metavar="FOLDER",
            help="folder with your own lbwpresets.txt, such as the WebUI's; repeatable",
        )
    for sub in (bake, merge, resize):
        sub.add_argument(
            "--out", type=Path, required=True, metavar="FILE", help="the new .safetensors"
        )
    for sub, what in (
        (bake, "of the block weights"),
        (summary, "of the summary"),
        (presets, "of the presets' blocks"),
    ):
        sub.add_argument("--picture", type=Path, metavar="PNG", help=f"also draw a picture {what}")
    runs = (
        (bake, _bake),
        (merge, _merge),
        (resize, _resize),
        (summary, _summary),
        (presets, _presets),
    )
    for sub, run in runs:
        add_json(sub)
        sub.set_defaults(run=run, render=render)
    presets.set_defaults(render=render_presets)


def render_presets(result: dict[str, Any]) -> str:
    """The presets and their blocks, for people."""
    lines = [
        f"{name:<15} {', '.join(blocks) or 'no block'}"
        for name, blocks in result["presets"].items()
    ]
    if result.get("picture"):
        lines.append(f"{'picture':<15} {result['picture']}")
    return "\n".join(lines)


def render(result: dict[str, Any]) -> str:
    """The result of summary, bake, merge or resize, for people."""
    lines = [f"{'lora':<15} {result['lora']}"]
    if "description" in result:
        lines.append(f"{'is':<15} {result['description']}")
    for key, value in result.get("highlights", {}).items():
        lines.append(f"{key:<15} {value}")
    for label, block in result.get("blocks", {}).items():
        lines.append(f"{label:<15} {block['modules']} modules, norm {block['norm']:.4g}")
    lines += [f"{'then':<15} {step}" for step in result.get("history", ())]
    if "weights" in result:
        factors = [f"{label} {value:g}" for label, value in result["weights"].items() if value]
        lines.append(f"{'blocks':<15} {', '.join(factors) or 'none'}")
    if "shares" in result:
        lines.append(f"{'shares':<15} {', '.join(f'{share:.3f}' for share in result['shares'])}")
        lines.append(
            f"{'deviation':<15} {result['deviation']:.2%} from the mean of the epochs' changes"
        )
    if "error" in result:
        name, worst = max(result["modules"].items(), key=lambda item: float(item[1]["error"]))
        lines.append(
            f"{'error':<15} {result['error']:.2%} of the whole, at most {worst['error']:.2%} of a"
            f" module ({name})"
        )
    lines += [f"{'note':<15} {note}" for note in result.get("notes", ())]
    if result.get("picture"):
        lines.append(f"{'picture':<15} {result['picture']}")
    return "\n".join(lines)


def _checked_out(options: argparse.Namespace, sources: Sequence[Path]) -> Path:
    """The file to write.

    Raises: LoraFileError, when it is no .safetensors file or one of the sources.
    """
    out: Path = options.out.expanduser().absolute()
    if out.suffix.lower() != ".safetensors" or out.is_dir():
        raise LoraFileError(
            f"--out: found {out.name!r}, expected the name of a new .safetensors file"
        )
    if any(
        path.expanduser().absolute() == out
        or (out.exists() and path.exists() and path.samefile(out))
        for path in sources
    ):
        raise LoraFileError(
            f"--out: found {out.name}, which is an input too, expected another; choose a new name"
        )
    return out


def _read(path: Path) -> LoraFile:
    from ..lora.files import read_lora  # torch comes with it, which takes seconds

    return read_lora(path.expanduser())


def _bake(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    from ..lora.bake import bake, modules_of_weights
    from ..lora.checkpoints import read_weights
    from ..lora.files import save_lora

    out = _checked_out(options, [options.file])
    lora = _read(options.file)
    weights = _weights(options, lora)
    needed = modules_of_weights(lora, weights, options.strength)
    checkpoint = (
        read_weights(options.checkpoint.expanduser(), needed) if options.checkpoint else None
    )
    save_lora(
        out,
        bake(
            lora, weights, options.strength, " ".join([options.preset, *options.blocks]), checkpoint
        ),
    )
    result = {
        "lora": str(out),
        "preset": options.preset,
        "strength": options.strength,
        "weights": weights.as_dict(),
    }
    told = remarks(options.preset, lora.layout, _known_presets(options.presets))
    return {**result, "notes": [*lora.notes, *told], **_pictured(options, lora, weights)}


def _known_presets(given: Sequence[Path]) -> dict[str, str]:
    """The presets by name, with the user's own from some folders."""
    from ..naming.block_preset_files import gather_presets

    return gather_presets((), named=[folder.expanduser() for folder in given])


def _presets(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    known = _known_presets(options.presets)
    lora = _read(options.lora) if options.lora else None
    layout = lora.layout if lora else SD1
    names = options.names or names_for(layout, known)
    weights = {name: parse_block_weights(name, layout, known) for name in names}
    labels = {
        name: [label for label in (BASE, *layout.attention_labels) if factors[label]]
        for name, factors in weights.items()
    }
    result = {
        "presets": labels,
        "values": {name: list(factors.values()) for name, factors in weights.items()},
    }
    if options.picture is None:
        return result
    from ..lora.summary import summarize
    from ..sheets.block_bars import draw_presets

    return {
        **result,
        **_drawn(options, draw_presets(weights, summarize(lora).norms if lora else None)),
    }


def _weights(options: argparse.Namespace, lora: LoraFile) -> BlockWeights:
    known = _known_presets(options.presets)
    weights = parse_block_weights(
        options.preset, lora.layout, known, random.Random(options.seed), options.x
    )
    for change in options.blocks:
        blocks, _, value = change.partition("=")
        try:
            weights = with_blocks(weights, blocks, float(value))
        except ValueError:
            raise PresetError(
                f"--blocks: found {change!r}, expected blocks and a number, such as IN05-OUT05=0.5"
            ) from None
    return weights


def _pictured(options: argparse.Namespace, lora: LoraFile, weights: BlockWeights) -> dict[str, str]:
    if options.picture is None:
        return {}
    from ..lora.summary import summarize
    from ..sheets.block_bars import draw_preset

    strength = f" at {options.strength:g}" if options.strength != 1 else ""
    return _drawn(
        options,
        draw_preset(
            f"{options.preset}{strength}", weights, summarize(lora).norms, f"Baked into {lora.name}"
        ),
    )


def _drawn(options: argparse.Namespace, image: Any) -> dict[str, str]:
    from ..files.fileio import write_bytes
    from ..imaging.png import png_bytes

    path = options.picture.expanduser().absolute()
    write_bytes(path, png_bytes(image))
    return {"picture": str(path)}


def _merge(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    from ..lora.files import save_lora
    from ..lora.merge import FAR, merge

    out = _checked_out(options, options.files)
    loras = [_read(path) for path in options.files]
    merged = merge(loras, options.method, options.decay)
    save_lora(out, merged.lora)
    notes = list(dict.fromkeys(note for lora in loras for note in lora.notes))
    if merged.deviation > FAR:
        notes.append("far from the epochs' mean: they are hardly from one training")
    return {
        "lora": str(out),
        "method": options.method,
        "shares": list(merged.shares),
        "deviation": merged.deviation,
        "notes": notes,
    }


def _resize(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    from dataclasses import asdict

    from ..lora.files import save_lora
    from ..lora.resize import resize

    out = _checked_out(options, [options.file])
    lora = _read(options.file)
    resized = resize(lora, options.rank, options.retain)
    save_lora(out, resized.lora)
    return {
        "lora": str(out),
        "ranks": list(resized.ranks),
        "error": resized.error,
        "notes": list(lora.notes),
        "modules": {name: asdict(module) for name, module in resized.modules.items()},
    }


def _summary(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    from ..lora.summary import summarize
    from ..sheets.block_bars import describe_file, draw_summary

    lora = _read(options.file)
    summary = summarize(lora)
    picture = {} if options.picture is None else _drawn(options, draw_summary(summary, lora.layout))
    return {
        "lora": str(options.file.expanduser().absolute()),
        "description": describe_file(summary),
        **summary.as_dict(),
        **picture,
    }
