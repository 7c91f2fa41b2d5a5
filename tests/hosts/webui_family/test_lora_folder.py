"""Files in the Lora folder, and the X/Y/Z axes that use them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from lib_singlelora.errors import LoraFileError, WorkspaceError
from lib_singlelora.host import LoraCard
from lib_singlelora.lora.files import write_lora
from tests.hosts.webui.stand_in import NetworkOnDisk, StandIn


def lora_file(path: Path, value: float = 1.0) -> Path:
    stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    write_lora(
        path,
        {
            f"{stem}.alpha": torch.tensor(1.0),
            f"{stem}.lora_down.weight": torch.full((1, 8), value),
            f"{stem}.lora_up.weight": torch.full((8, 1), value),
        },
        {},
        "fp32",
    )
    return path


def card(
    path: Path, name: str = "isabella", folder: str = "isabella", preview: Path | None = None
) -> LoraCard:
    return LoraCard(path, name, folder, "isabella, girl", "epoch 1", preview)


@pytest.fixture
def library(webui: StandIn) -> Any:
    from lib_singlelora.hosts.webui_family.lora_folder import LoraFolder

    return LoraFolder()


def test_a_published_file_is_known_at_once_with_its_card(
    webui: StandIn, library: Any, tmp_path: Path
) -> None:
    Image.new("RGB", (900, 1800)).save(tmp_path / "preview.png")
    path = lora_file(tmp_path / "isabella.safetensors")
    library.publish(card(path, preview=tmp_path / "preview.png"))
    target = webui.lora_dir / "singlelora" / "isabella" / "isabella.safetensors"
    assert target.read_bytes() == path.read_bytes()
    assert webui.networks.available_networks["isabella"].filename == str(target)
    assert (
        json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))["activation text"]
        == "isabella, girl"
    )
    with Image.open(target.with_suffix(".preview.png")) as image:
        assert max(image.size) <= 768
    assert library.name_of(path) == "isabella"
    assert library.published() == {"isabella": target}


def test_upscalers_that_are_there_come_before_those_to_be_fetched(
    webui: StandIn, tmp_path: Path
) -> None:
    from lib_singlelora.hosts.webui_family.upscalers import upscalers

    (tmp_path / "own.pth").write_bytes(b"")
    webui.shared.sd_upscalers += [
        SimpleNamespace(name=name, data_path=path, scaler=None)
        for name, path in (
            ("None", None),
            ("Nearest", None),
            ("Lanczos", None),
            ("ESRGAN_4x", "https://example.org/a.pth"),
            ("own", str(tmp_path / "own.pth")),
        )
    ]
    assert [upscaler.name for upscaler in upscalers()] == ["own", "Lanczos", "ESRGAN_4x", "Nearest"]
    webui.opts.data["singlelora_upscaler"] = "ESRGAN_4x"
    assert upscalers()[0].name == "ESRGAN_4x"


def test_what_the_user_wrote_on_the_card_is_kept(
    webui: StandIn, library: Any, tmp_path: Path
) -> None:
    path = lora_file(tmp_path / "isabella.safetensors")
    library.publish(card(path))
    metadata = webui.lora_dir / "singlelora" / "isabella" / "isabella.json"
    metadata.write_text(json.dumps({"notes": "mine", "preferred weight": 0.7}), encoding="utf-8")
    library.publish(card(path))
    assert (
        json.loads(metadata.read_text(encoding="utf-8")).items()
        >= {"notes": "mine", "preferred weight": 0.7, "activation text": "isabella, girl"}.items()
    )


@pytest.mark.parametrize("content", [b"{", b"\xff", b"null", b"[" * 100_000])
def test_a_card_that_cannot_be_read_stays_and_ends_no_training(
    webui: StandIn, library: Any, tmp_path: Path, content: bytes
) -> None:
    path = lora_file(tmp_path / "isabella.safetensors")
    library.publish(card(path))
    metadata = webui.lora_dir / "singlelora" / "isabella" / "isabella.json"
    metadata.write_bytes(content)
    library.publish(card(path))
    assert metadata.read_bytes() == content


def test_a_file_that_changed_is_copied_anew_and_forgotten_in_memory(
    webui: StandIn, library: Any, tmp_path: Path
) -> None:
    path = lora_file(tmp_path / "isabella.safetensors")
    library.publish(card(path))
    webui.networks.networks_in_memory["isabella"] = object()
    library.publish(card(path))
    assert "isabella" in webui.networks.networks_in_memory
    lora_file(path, 2.0)
    library.publish(card(path))
    assert "isabella" not in webui.networks.networks_in_memory
    assert (
        webui.lora_dir / "singlelora" / "isabella" / "isabella.safetensors"
    ).read_bytes() == path.read_bytes()


def test_a_file_that_changed_empties_the_cache_of_the_last_prompt(
    webui: StandIn, library: Any, tmp_path: Path
) -> None:
    cache = webui.processing.StableDiffusionProcessing.cached_c
    path = lora_file(tmp_path / "isabella.safetensors")
    library.publish(card(path))
    cache[:] = ["<lora:isabella:1>", "its context"]
    library.publish(card(path))
    assert cache == ["<lora:isabella:1>", "its context"]
    lora_file(path, 2.0)
    library.publish(card(path))
    assert cache == [None, None]


def test_another_lora_of_the_same_name_is_left_alone(
    webui: StandIn, library: Any, tmp_path: Path
) -> None:
    other = lora_file(webui.lora_dir / "isabella.safetensors", 3.0)
    webui.networks.available_networks["isabella"] = NetworkOnDisk("isabella", str(other))
    path = lora_file(tmp_path / "isabella.safetensors")
    library.publish(card(path))
    assert library.name_of(path) == "isabella-sl2"
    assert webui.networks.available_networks["isabella"].filename == str(other)


def test_a_folder_that_cannot_be_written_is_an_error(
    webui: StandIn, library: Any, tmp_path: Path
) -> None:
    (webui.lora_dir / "singlelora").write_text("in the way")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        library.publish(card(lora_file(tmp_path / "isabella.safetensors")))


def test_any_file_gets_a_name_of_its_own(webui: StandIn, library: Any, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    names = {
        library.name_of(lora_file(folder / "baked.safetensors"))
        for folder in (tmp_path, tmp_path / "other")
    }
    assert len(names) == 2 and names <= webui.networks.available_networks.keys()
    with pytest.raises(LoraFileError, match="no such"):
        library.name_of(tmp_path / "none.safetensors")


class AxisOption:
    """That of the WebUI's xyz_grid.py."""

    def __init__(
        self,
        label: str,
        kind: type,
        apply: Any,
        format_value: Any = None,
        confirm: Any = None,
        cost: float = 0.0,
        choices: Any = None,
    ) -> None:
        self.label = label
        self.apply = apply
        self.confirm = confirm
        self.choices = choices


def axes_of(webui: StandIn, library: Any) -> dict[str, AxisOption]:
    from lib_singlelora.extension.xyz_axes import add_axes

    if not webui.scripts.scripts_data:
        module = SimpleNamespace(
            AxisOption=AxisOption, axis_options=[AxisOption("Nothing", str, None)]
        )
        script = type("Script", (), {})
        script.__module__ = "xyz_grid.py"
        webui.scripts.scripts_data.append(SimpleNamespace(script_class=script, module=module))
    add_axes(library)
    add_axes(library)
    options = webui.scripts.scripts_data[0].module.axis_options
    assert len(options) == 4  # once, however often it is called
    return {option.label.removeprefix("[Single LoRA] "): option for option in options}


class Cell:
    """A StableDiffusionProcessing as far as the axes look at it."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt
        self.comments: dict[str, int] = {}

    def comment(self, text: str) -> None:
        self.comments[text] = 1


@pytest.fixture
def epochs(library: Any, tmp_path: Path) -> Any:
    for name in ("isabella-000001", "isabella"):
        library.publish(card(lora_file(tmp_path / f"{name}.safetensors"), name))
    return library


@pytest.mark.parametrize(
    ("prompt", "steps", "expected"),
    [
        ("a girl", [("Epoch", "isabella")], "a girl <lora:isabella:1>"),
        (
            "a girl",
            [("Epoch", "isabella-000001"), ("Strength", 0.5)],
            "a girl <lora:isabella-000001:0.5>",
        ),
        (
            "a girl",
            [("Strength", 0.5), ("Epoch", "isabella-000001")],
            "a girl <lora:isabella-000001:0.5>",
        ),
        (
            "a <lora:isabella:0.3:0.4> girl",
            [("Epoch", "isabella-000001")],
            "a <lora:isabella-000001:0.3:0.4> girl",
        ),
        (
            "a <lora:isabella:0.3> <lora:x:1> girl",
            [("Strength", 0.8)],
            "a <lora:isabella:0.8> <lora:x:1> girl",
        ),
        ("<lora:isabella:1>", [("Block preset", "ALL"), ("Strength", 2.0)], "<lora:isabella:2>"),
    ],
)
def test_the_tag_is_written_from_all_axes_in_any_order(
    webui: StandIn, epochs: Any, prompt: str, steps: list[tuple[str, Any]], expected: str
) -> None:
    axes = axes_of(webui, epochs)
    cell = Cell(prompt)
    for label, value in steps:
        axes[label].apply(cell, value, [value])
    assert cell.prompt == expected
    assert cell.comments == {}


def test_another_axis_may_change_the_prompt_in_between(webui: StandIn, epochs: Any) -> None:
    axes = axes_of(webui, epochs)
    cell = Cell("a girl <lora:isabella:1>")
    axes["Strength"].apply(cell, 0.5, [0.5])
    cell.prompt = cell.prompt.replace("girl", "cat")
    axes["Epoch"].apply(cell, "isabella-000001", [])
    assert cell.prompt == "a cat <lora:isabella-000001:0.5>"


def test_an_axis_without_effect_says_so(webui: StandIn, epochs: Any) -> None:
    axes = axes_of(webui, epochs)
    cell = Cell("a girl")
    axes["Strength"].apply(cell, 0.5, [0.5])
    assert cell.prompt == "a girl" and any("no effect" in text for text in cell.comments)


def test_choices_come_from_disk_and_wrong_ones_are_refused(webui: StandIn, epochs: Any) -> None:
    axes = axes_of(webui, epochs)
    assert set(axes["Epoch"].choices()) == {"isabella", "isabella-000001"}
    assert {"ALL", "OUTD"} <= set(axes["Block preset"].choices())
    with pytest.raises(RuntimeError, match="nobody"):
        axes["Epoch"].confirm(None, ["nobody"])
    with pytest.raises(RuntimeError, match="OUTX"):
        axes["Block preset"].confirm(None, ["OUTX"])


def test_a_preset_is_baked_into_a_hidden_file(webui: StandIn, epochs: Any) -> None:
    axes = axes_of(webui, epochs)
    cell = Cell("<lora:isabella:1>")
    axes["Block preset"].apply(cell, "NONE", [])
    name = cell.prompt.split(":")[1]
    assert name != "isabella" and name in webui.networks.available_networks
    assert set(axes["Epoch"].choices()) == {"isabella", "isabella-000001"}
