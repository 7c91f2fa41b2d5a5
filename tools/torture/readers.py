"""Every reader of ours with what it is fed.

It may raise our own errors, each one line, and nothing else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lib_singlelora.errors import SingleLoraError

from . import inputs


@dataclass(frozen=True)
class Reader:
    """name: in words.  fed: its input.  read: what is called with it and an empty folder."""

    name: str
    fed: Callable[[], SearchStrategy[Any]]
    read: Callable[[Any, Path], object]

    def take(self, value: Any) -> None:
        """Read one input.

        Raises: AssertionError, for an error of ours that is no single line; whatever is not ours.
        """
        with tempfile.TemporaryDirectory(prefix="singlelora-torture-") as folder:
            try:
                self.read(value, Path(folder))
            except SingleLoraError as error:
                text = str(error)
                assert text and "\n" not in text and "Traceback" not in text, (
                    f"{self.name}: {text!r}"
                )
                assert len(text) < 4000, f"{self.name}: {len(text)} letters"


def _file(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# Settings
# ----------------------------------------------------------------------------------


@cache
def _names() -> tuple[str, ...]:
    from lib_singlelora.settings.schema import declarations

    return (
        *(d.name for d in declarations()),
        *{d.section for d in declarations()},
        *{d.key for d in declarations()},
        "version",
        "checkpoint",
    )


def _settings(given: dict[str, Any], folder: Path) -> None:
    from lib_singlelora.settings.schema import Settings

    for call in (lambda: Settings.from_dict(given), lambda: Settings().with_values(given)):
        with suppress(SingleLoraError):
            found = call()
            assert Settings.from_dict(found.to_dict()) == found
    Settings.from_dict(given)


def _settings_file(data: bytes, folder: Path) -> None:
    from lib_singlelora.workspace.workspace import Workspace

    workspace = Workspace(folder / "w")
    _file(workspace.root, "settings.json", data)
    workspace.load_checkpoint_path()
    workspace.load_settings()


def _assignment(text: str, folder: Path) -> None:
    from lib_singlelora.settings.schema import Settings, parse_assignment

    Settings.from_dict(dict([parse_assignment(text)]))


def _every_setting(given: tuple[str, str], folder: Path) -> None:
    from lib_singlelora.settings.schema import Settings

    Settings.from_dict({given[0]: given[1]})


KOHYA = (
    "learning_rate",
    "unet_lr",
    "text_encoder_lr",
    "network_dim",
    "network_alpha",
    "max_train_epochs",
    "epoch",
    "optimizer",
    "optimizer_type",
    "optimizer_args",
    "network_args",
    "LoRA_type",
    "network_module",
    "down_lr_weight",
    "mid_lr_weight",
    "up_lr_weight",
    "lr_warmup",
    "lr_warmup_steps",
    "lr_scheduler",
    "max_resolution",
    "resolution",
    "noise_offset",
    "seed",
    "conv_dim",
    "caption_dropout_rate",
    "min_snr_gamma",
    "keep_tokens",
    "clip_skip",
    "train_batch_size",
    "max_token_length",
    "save_precision",
    "mixed_precision",
    "network_weights",
    "scale_weight_norms",
    "loss_type",
    "huber_c",
    "flip_aug",
)


def _kohya(given: tuple[str, str], folder: Path) -> None:
    from lib_singlelora.kohya.convert import read_foreign, write_foreign
    from lib_singlelora.settings.schema import Settings

    found = read_foreign(*given)
    settings = Settings().with_values(found.values)
    for kind in ("json", "toml"):
        read_foreign(write_foreign(settings, kind).text, f"again.{kind}")


def _kohya_json() -> SearchStrategy[tuple[str, str]]:
    import json

    written = inputs.objects(KOHYA, 8).map(lambda value: json.dumps(value))
    return st.tuples(st.one_of(written, inputs.texts()), st.sampled_from(("a.json", "a.JSON")))


def _kohya_toml() -> SearchStrategy[tuple[str, str]]:
    value = st.one_of(
        st.integers(),
        st.floats().map(str),
        st.booleans().map(lambda b: str(b).lower()),
        inputs.texts(12).map(repr),
        st.lists(st.integers(), max_size=3).map(str),
        st.sampled_from(('["conv_dim=4", "algo=loha"]', '""', "1_000", "0x10")),
    )
    line = st.builds(lambda key, text: f"{key} = {text}", st.sampled_from(KOHYA), value)
    head = st.sampled_from(("[a]", "[[a]]", "[network_arguments]", "", "[a.b]", "# x"))
    written = st.lists(st.one_of(line, line, head, inputs.texts(12)), max_size=8).map("\n".join)
    return st.tuples(st.one_of(written, inputs.texts()), st.just("a.toml"))


# Texts
# ----------------------------------------------------------------------------------


def _caption(data: bytes, folder: Path) -> None:
    from lib_singlelora.captions.edits import edit_caption, parse_replacement, tag_table
    from lib_singlelora.captions.text import join_tags, split_tags
    from lib_singlelora.workspace.kohya_folders import read_caption, training_folders

    picture = _file(folder, "5_isa/a.png", b"")
    _file(folder, "5_isa/a.txt", data)
    training_folders(folder)
    text = read_caption(picture)
    old = "a"
    new = "b"
    with suppress(SingleLoraError):
        old, new = parse_replacement(text)
    tag_table([edit_caption(join_tags(split_tags(text)), ["x"], ["y"], {old: new})])


def _template(given: tuple[str, bytes, int], folder: Path) -> None:
    from lib_singlelora.captions.wildcards import WildcardPrompts

    template, file, seed = given
    _file(folder, "mine.txt", file)
    _file(folder, "other.yaml", file)
    WildcardPrompts(template, [folder]).draw(seed)


TEMPLATE = "{}|$_:0123.,-~@%()# ab"


def _templates() -> SearchStrategy[tuple[str, bytes, int]]:
    piece = st.one_of(
        st.text(TEMPLATE, max_size=4),
        st.sampled_from(
            (
                "__mine__",
                "__expression__",
                "__mi*__",
                "__other__",
                "__~mine__",
                "__mine(a=b)__",
                "{",
                "}",
                "|",
                "2$$",
                "1-3$$ and $$",
                "0.5::",
                "${a=x}",
                "${a}",
                "${a=!{x|y}}",
                "{{",
                "}}",
                "%{a$$b}",
                "\\",
                "::",
            )
        ),
    )
    text = st.lists(piece, max_size=14).map("".join)
    file = st.one_of(
        text.map(lambda value: value.encode("utf-8", "replace")),
        st.binary(max_size=30),
        st.lists(text, max_size=3).map(lambda lines: "\n".join(lines).encode()),
    )
    return st.tuples(st.one_of(text, text, inputs.texts()), file, st.integers(0, 2**32 - 1))


def _block_weights(given: tuple[str, str], folder: Path) -> None:
    from lib_singlelora.naming.block_preset_files import read_preset_file
    from lib_singlelora.naming.block_weights import (
        PRESETS,
        parse_block_weights,
        remarks,
        with_blocks,
    )
    from lib_singlelora.naming.blocks import SD1, SD2, SDXL

    text, blocks = given
    presets = {**PRESETS, **read_preset_file(text)}
    for layout in (SD1, SD2, SDXL):
        with suppress(SingleLoraError):
            weights = parse_block_weights(text, layout, presets)
            remarks(text, layout, presets)
            with_blocks(weights, blocks, 0.5)
    with_blocks(parse_block_weights("ALL", SD1), blocks, 0.5)
    parse_block_weights(text, SD1)


def _block_texts() -> SearchStrategy[str]:
    value = st.one_of(
        st.sampled_from(
            (
                "R",
                "U",
                "X",
                "X+0.2",
                "X-.2",
                "0",
                "1",
                "0.5",
                "-1",
                "nan",
                "inf",
                "1e400",
                "",
                "cosine+.25",
            )
        ),
        inputs.texts(4),
    )
    row = st.builds(
        lambda values, comma: comma.join(values),
        st.lists(value, max_size=27),
        st.sampled_from((",", ", ", "/", "\n")),
    )
    exact = st.sampled_from((12, 17, 20, 26)).flatmap(
        lambda count: st.lists(value, min_size=count, max_size=count).map(",".join)
    )
    return st.one_of(
        row,
        exact,
        exact.map("MINE:".__add__),
        inputs.texts(),
        st.sampled_from(("cosine/1/sine", "1,1/1/0.5", "/", "a/b/c/d")),
    )


def _ranges() -> SearchStrategy[str]:
    piece = st.one_of(
        st.sampled_from(
            ("IN", "OUT", "M00", "BASE", "NOT", "-", "=", ",", " ", "05", "11", "99", "IN05-OUT05")
        ),
        inputs.texts(3),
    )
    return st.lists(piece, max_size=8).map("".join)


def _lists(text: str, folder: Path) -> None:
    from lib_singlelora.captions.prompt_bars import hold_bars, release_bars, split_prompts
    from lib_singlelora.settings.declare import join_list, split_list
    from lib_singlelora.sheets.axes import prompt_labels, replacements

    assert release_bars(hold_bars(text)) is not None
    prompts = split_prompts(text)
    prompt_labels(prompts)
    replacements(text, *prompts)
    pieces = split_list(text)
    assert split_list(join_list(pieces)) == pieces


def _name(text: str, folder: Path) -> None:
    from lib_singlelora.files.names import check_name

    checked = check_name(text, "trigger")
    (folder / checked).mkdir()
    (folder / checked / f"{checked}.txt").write_text(checked, encoding="utf-8")


# Files of a workspace
# ----------------------------------------------------------------------------------


def _events(data: bytes, folder: Path) -> None:
    from lib_singlelora.files.event_log import EventLog

    log = EventLog(_file(folder, "log/events.jsonl", data))
    before = log.read()
    log.write("after")
    assert log.read()[:-1] == before and log.read()[-1]["event"] == "after"
    assert all(isinstance(event["event"], str) for event in before)


RECORD = (
    "fingerprint",
    "complete",
    "files",
    "data",
    "views",
    "traits",
    "recommendation",
    "notes",
    "decisions",
    "box",
    "tag",
    "category",
    "seen",
    "visible",
    "epoch",
    "strength",
    "preset",
    "lora",
    "reason",
    "rejected",
    "version",
)
STAGE_NAMES = (
    "prepare",
    "crop",
    "caption",
    "regularize",
    "train",
    "plot",
    "inpaint",
    "trigger",
    "tags",
    "pace",
)


def _record(given: tuple[str, bytes], folder: Path) -> None:
    from lib_singlelora.curation.overview import artifacts_of, captions_of, crops_of, traits_of
    from lib_singlelora.curation.regularization import rejections
    from lib_singlelora.settings.schema import Settings
    from lib_singlelora.stages.loopback import lineage_of
    from lib_singlelora.workspace.recommendation import saved_recommendation
    from lib_singlelora.workspace.workspace import Workspace

    stage, data = given
    workspace = Workspace(folder / "w")
    settings = Settings.from_dict({"character.trigger": "isa"})
    _file(workspace.root, f"log/{stage}.json", data)
    _file(workspace.root, "source/artifacts.json", data)
    _file(workspace.root, "lineage.json", data)
    calls: Sequence[Callable[[], object]] = (
        lambda: workspace.files_of(workspace.record(stage)),
        lambda: lineage_of(workspace),
        lambda: saved_recommendation(workspace),
        lambda: rejections(workspace),
        lambda: artifacts_of(workspace),
        lambda: crops_of(settings, workspace),
        lambda: captions_of(settings, workspace),
        lambda: traits_of(settings, workspace),
    )
    for call in calls:
        with suppress(SingleLoraError):
            call()
    workspace.record(stage)


def _records() -> SearchStrategy[tuple[str, bytes]]:
    whole = st.fixed_dictionaries(
        {
            "fingerprint": st.one_of(st.text("ab", max_size=3), inputs.values(2)),
            "complete": st.one_of(st.booleans(), inputs.values(2)),
            "files": st.one_of(
                st.dictionaries(inputs.texts(10), inputs.values(2), max_size=3), inputs.values(2)
            ),
            "data": st.one_of(inputs.objects(RECORD), inputs.values(3)),
        }
    )
    return st.tuples(
        st.sampled_from(STAGE_NAMES),
        inputs.json_bytes(st.one_of(whole, whole, inputs.objects(RECORD), inputs.values())),
    )


def _picture(data: bytes, folder: Path) -> None:
    from lib_singlelora.imaging.load import load_picture, load_picture_bytes, picture_size
    from lib_singlelora.imaging.mask_reader import read_mask_bytes

    path = _file(folder, "a.png", data)
    for call in (
        lambda: load_picture(path),
        lambda: picture_size(path),
        lambda: read_mask_bytes(data),
    ):
        with suppress(SingleLoraError):
            call()
    load_picture_bytes(data, "a")


# Weights
# ----------------------------------------------------------------------------------

STEM = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
LORA_KEYS = (
    *(
        f"{stem}.{part}"
        for stem in (STEM, STEM.replace("to_q", "to_k"))
        for part in (
            "lora_up.weight",
            "lora_down.weight",
            "alpha",
            "lora_mid.weight",
            "hada_w1_a",
            "hada_w1_b",
            "hada_w2_a",
            "hada_w2_b",
            "lokr_w1",
            "lokr_w2",
            "lokr_w2_a",
            "lokr_w2_b",
            "dora_scale",
            "diff",
            "w_norm",
            "b_norm",
            "oft_blocks",
        )
    ),
    "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight",
    "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
    "lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha",
    "lora_unet_input_blocks_4_1_proj_in.lora_up.weight",
    "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
    "bundle_emb.a.string_to_param.*",
)
CHECKPOINT_KEYS = (
    "model.diffusion_model.input_blocks.0.0.weight",
    "model.diffusion_model.out.2.weight",
    "first_stage_model.encoder.conv_in.weight",
    "cond_stage_model.transformer.text_model.final_layer_norm.bias",
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
    "cond_stage_model.model.ln_final.weight",
    "conditioner.embedders.0.x",
    "double_blocks.0",
    "__metadata__",
)


def _lora(data: bytes, folder: Path) -> None:
    import torch

    from lib_singlelora.lora.bake import bake
    from lib_singlelora.lora.files import read_lora, save_lora
    from lib_singlelora.lora.history import history_of
    from lib_singlelora.lora.merge import merge
    from lib_singlelora.lora.resize import resize
    from lib_singlelora.lora.summary import summarize
    from lib_singlelora.naming.block_weights import parse_block_weights

    lora = read_lora(_file(folder, "a.safetensors", data))
    history_of(lora.metadata)
    torch.manual_seed(0)
    calls: Sequence[Callable[[], object]] = (
        lambda: summarize(lora),
        lambda: bake(lora, parse_block_weights("ALL", lora.layout), 0.5),
        lambda: resize(lora, 1),
        lambda: resize(lora, None, 0.9),
        lambda: merge([lora, lora]),
        lambda: save_lora(
            folder / "b.safetensors", bake(lora, parse_block_weights("NONE", lora.layout), -1)
        ),
    )
    for call in calls:
        with suppress(SingleLoraError):
            call()


def _checkpoint(given: tuple[bytes, bytes], folder: Path) -> None:
    from lib_singlelora.hosts.standalone.checkpoint_loader import load_networks
    from lib_singlelora.hosts.standalone.inspection import inspect
    from lib_singlelora.lora.checkpoints import read_weights

    path = _file(folder, "a.safetensors", given[0])
    _file(folder, "a.yaml", given[1])
    with suppress(SingleLoraError):
        read_weights(path, ["input_blocks.0.0"])
    load_networks(inspect(path))


def _yaml() -> SearchStrategy[bytes]:
    import yaml

    unet = st.fixed_dictionaries(
        {"params": inputs.objects(("model_channels", "channel_mult", "num_heads"))}
    )
    vae = st.fixed_dictionaries(
        {"params": st.fixed_dictionaries({"ddconfig": inputs.objects(("ch", "ch_mult"))})}
    )
    params = st.fixed_dictionaries(
        {
            "unet_config": st.one_of(unet, inputs.values(2)),
            "first_stage_config": vae,
            "timesteps": inputs.values(1),
            "scale_factor": inputs.values(1),
        }
    )
    whole = params.map(
        lambda value: yaml.safe_dump({"model": {"params": value}}, allow_unicode=False).encode(
            "ascii", "replace"
        )
    )
    return st.one_of(
        whole,
        inputs.spoiled(whole),
        st.binary(max_size=30),
        st.sampled_from((b"[" * 5000, b"a: &a [*a]", b"2020-99-99")),
    )


def _pickle(data: bytes, folder: Path) -> None:
    from lib_singlelora.hosts.standalone.inspection import inspect, read_tensors
    from lib_singlelora.imaging.esrgan import read_weights
    from lib_singlelora.training.snapshot import load_snapshot

    path = _file(folder, "a.ckpt", data)
    for call in (
        lambda: inspect(path),
        lambda: read_weights(path),
        lambda: load_snapshot(path, "x"),
    ):
        with suppress(SingleLoraError):
            call()
    read_tensors(path)


READERS: tuple[Reader, ...] = (
    Reader("settings", lambda: inputs.objects(_names()), _settings),
    Reader(
        "settings.json",
        lambda: inputs.json_bytes(st.one_of(inputs.objects(_names()), inputs.values())),
        _settings_file,
    ),
    Reader(
        "--set",
        lambda: st.one_of(
            inputs.texts(), st.builds("{}={}".format, st.sampled_from(_names()), inputs.texts(20))
        ),
        _assignment,
    ),
    Reader(
        "one setting",
        lambda: st.tuples(st.sampled_from(_names()), st.one_of(inputs.texts(20), inputs.values(4))),
        _every_setting,
    ),
    Reader("kohya_ss' JSON", _kohya_json, _kohya),
    Reader("sd-scripts' TOML", _kohya_toml, _kohya),
    Reader(
        "captions",
        lambda: st.one_of(
            inputs.texts().map(lambda text: text.encode("utf-8", "surrogatepass")),
            st.binary(max_size=60),
        ),
        _caption,
    ),
    Reader("wildcard templates", _templates, _template),
    Reader("block weights", lambda: st.tuples(_block_texts(), _ranges()), _block_weights),
    Reader("lists and prompts", inputs.texts, _lists),
    Reader("names", lambda: inputs.texts(80), _name),
    Reader(
        "event log",
        lambda: st.one_of(
            st.lists(inputs.json_bytes(inputs.objects(("event", "time", "step"))), max_size=3).map(
                b"\n".join
            ),
            st.binary(max_size=80),
        ),
        _events,
    ),
    Reader("stage records", _records, _record),
    Reader("pictures and masks", inputs.pictures, _picture),
    Reader("LoRA headers", lambda: inputs.headers(LORA_KEYS), _lora),
    Reader("LoRA files", lambda: inputs.fitting_loras(LORA_KEYS), _lora),
    Reader(
        "checkpoint headers",
        lambda: st.tuples(inputs.headers(CHECKPOINT_KEYS), _yaml()),
        _checkpoint,
    ),
    Reader("pickles", inputs.pickles, _pickle),
)
