"""SDXL in the real WebUI, epsilon and v-prediction: lent, trained, drawn with, given back.

Forge and reForge know the small one by `known_sdxl`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image

from lib_singlelora.host import ImageRequest, LoraUse
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.lora.files import read_lora
from lib_singlelora.naming.blocks import is_text
from tests.hosts.standalone.diffusers_sdxl import load_pipeline
from tests.small_sdxl import build_small_sdxl, yaml_text
from tests.webui.conftest import new_workspace
from tests.webui.process import Refused, WebUI, kind_of
from tests.webui.test_axes import OURS, cells, grid, pixels
from tests.webui.test_kinds import load
from tests.webui.test_whole_job import same_weights, state_of, untouched

pytestmark = pytest.mark.timeout(1200)
TWELVE = "1,0,0,0,0,0,1,1,1,0,0,0"
# Captions have no emphasis, and are cut behind 75 tokens whatever stands there; the WebUI's prompts
# are cut at a comma
PROMPTS = ["isabella, girl, red hair", " ".join(["blue dress"] * 60)]
LIGHT = {
    "crop__views": ("portrait", "face"),
    "crop__details": 0,
    "regularization__count": 1,
    "judge__probes": 0,
    "plot__presets": "ALL",
}
BOTH_TEXTS = {**LIGHT, "training__text_encoder_lr": 1e-3}
ENOUGH = 900  # seconds for a job, on a machine that does much else

in_1_10_1 = pytest.mark.skipif(
    kind_of(Path(os.environ.get("SD_WEBUI_DIR", "."))) != "webui",
    reason="Forge and reForge read the file's keys: there is nothing to mend",
)


@pytest.fixture(scope="module")
def xl(webui: WebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """The WebUI with three small SDXL checkpoints, of which the epsilon one is loaded.

    `xl v` predicts v and has a config that says so; `xl bare` predicts v and has none.
    """
    folder = webui.data / "models" / "Stable-diffusion"
    files = [
        build_small_sdxl(folder),
        build_small_sdxl(folder, "xl v", "v_prediction", seed=1),
        build_small_sdxl(folder, "xl bare", "v_prediction", seed=2),
    ]
    files[2].with_suffix(".yaml").unlink()
    # Its preview of SDXL would be fetched from a network.
    webui.ask("/sdapi/v1/options", {"live_previews_enable": False})
    webui.ask("/sdapi/v1/refresh-checkpoints", {})
    if webui.kind == "reforge":  # what it takes where no config lies beside, with the small sizes
        small = tmp_path_factory.mktemp("config") / "small.yaml"
        small.write_text(yaml_text())
        before = webui.ask("/probe/config", {"path": str(small)})
    load(webui, "xl")
    yield webui
    load(webui, "small")
    if webui.kind == "reforge":
        webui.ask("/probe/config", {"path": before})
    for path in files:
        path.unlink()
        path.with_suffix(".yaml").unlink(missing_ok=True)
    webui.ask("/sdapi/v1/refresh-checkpoints", {})
    webui.ask("/sdapi/v1/options", {"live_previews_enable": True})


@pytest.fixture(scope="module")
def trained(xl: WebUI) -> dict[str, Any]:
    """The whole job with both text encoders, and the WebUI's picture and state before it."""
    picture = xl.picture()
    state = state_of(xl)
    name = new_workspace(xl, "wide", **{**BOTH_TEXTS, "plot__presets": ("ALL", TWELVE)})
    job = xl.ended(xl.submit(name), ENOUGH)
    assert job["state"] == "done", job["error"]
    return {"name": name, "picture": picture, "state": state, "job": job}


def lent(webui: WebUI, folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What the probe says of the lent networks, and what they computed."""
    path = folder / "lent.safetensors"
    told = webui.ask(
        "/probe/networks", {"prompts": PROMPTS, "side": 8, "seed": 3, "path": str(path)}
    )
    return told, safetensors.torch.load_file(path)


@pytest.mark.parametrize("name", ["xl", "xl v", "xl bare"])
def test_the_lent_networks_are_the_webuis_and_the_standalone_hosts(
    xl: WebUI, tmp_path: Path, name: str
) -> None:
    """Tolerance 1e-5 of each tensor's largest value, standalone; the WebUI's own passes exactly.

    A prompt of two chunks is among them: its pooled text is the first chunk's.  The schedule of the
    two that predict v ends in pure noise, as their files say.
    """
    if name == "xl bare" and xl.kind == "webui":
        pytest.skip("1.10.1 does not read the file's keys")
    load(xl, name)
    try:
        told, theirs = lent(xl, tmp_path)
    finally:
        load(xl, "xl")
    assert told["kind"] == ("epsilon" if name == "xl" else "v_prediction")
    assert (theirs["alphas_cumprod"][-1] < 1e-6) == (name != "xl")
    assert told["context"] < 1e-5 and told["prediction"] < 1e-5
    file = tmp_path / "file.safetensors"
    file.symlink_to(xl.data / "models" / "Stable-diffusion" / f"{name}.safetensors")
    file.with_suffix(".yaml").write_text(yaml_text(told["kind"]))  # alone, a narrow one needs it
    host = StandaloneHost(file, "cpu")
    with host.open_for_training("fp32") as model, torch.no_grad():
        ours = model.encode_prompts(PROMPTS, 1)
        assert ours.pooled is not None and ours.context.shape[1] > 77
        computed = {
            "context": ours.context,
            "pooled": ours.pooled,
            "prediction": model.predict(theirs["noisy"], theirs["timesteps"], ours),
            "latents": model.encode_images(theirs["pixels"]),
            "pictures": model.decode_latents(theirs["latents"]),
            "alphas_cumprod": model.alphas_cumprod,
        }
        assert model.prediction == told["kind"]
    for key, mine in computed.items():
        assert float((mine - theirs[key]).abs().max()) < 1e-5 * max(1.0, float(mine.abs().max())), (
            key
        )


def test_the_whole_job_leaves_the_webui_as_it_was(xl: WebUI, trained: dict[str, Any]) -> None:
    assert xl.picture() == trained["picture"]
    untouched(trained["state"], xl.ask("/probe/state"))
    result = trained["job"]["result"]
    for path in (result["sheet"], *result["loras"], *result["inpainted"]):
        assert Path(path).is_file()


def test_epochs_work_at_once_by_name_and_leave_other_prompts_alone(
    xl: WebUI, trained: dict[str, Any]
) -> None:
    drawn = {xl.picture(f"isabella, girl <lora:{name}:1>") for name in ("wide", "wide-000001")}
    assert len(drawn | {trained["picture"]}) == 3
    assert xl.picture() == trained["picture"]


def test_the_file_has_branches_on_both_text_encoders_and_each_part_counts(
    xl: WebUI, trained: dict[str, Any]
) -> None:
    path = Path(next(reversed(trained["job"]["result"]["loras"])))
    lora = read_lora(path)
    assert lora.layout.name == "sdxl"
    parts = {
        "te1": {name for name in lora.modules if name.startswith("te1.")},
        "te2": {name for name in lora.modules if name.startswith("te2.")},
        "unet": {name for name in lora.modules if not is_text(name)},
    }
    assert all(parts.values())
    tensors = safetensors.torch.load_file(path)
    folder = xl.data / "models" / "Lora"
    pictures = set()
    for part in ("te1", "te2", "unet"):
        kept = {key: value for key, value in tensors.items() if key.startswith(f"lora_{part}_")}
        safetensors.torch.save_file(kept, folder / f"only {part}.safetensors")
    xl.ask("/sdapi/v1/refresh-loras", {})
    for part in ("te1", "te2", "unet"):
        pictures.add(xl.picture(f"isabella, girl <lora:only {part}:1>"))
        (folder / f"only {part}.safetensors").unlink()
    assert len(pictures | {trained["picture"]}) == 4
    assert xl.picture() == trained["picture"]


def test_the_lora_changes_the_picture_as_it_does_standalone(
    xl: WebUI, trained: dict[str, Any]
) -> None:
    """Mean difference under 1 of 255, and far more between with and without the LoRA."""

    path = Path(next(reversed(trained["job"]["result"]["loras"])))
    host = StandaloneHost(xl.data / "models" / "Stable-diffusion" / "xl.safetensors", "cpu")
    options: dict[str, Any] = {"sampler_name": "Euler", "scheduler": "Automatic", "steps": 8}
    drawn = {}
    for strength in (0.0, 1.0):
        tag = f" <lora:wide:{strength:g}>" if strength else ""
        theirs = pixels(xl.picture(f"isabella, girl{tag}", cfg_scale=7, **options)).astype(float)
        loras = (LoraUse(path, strength, strength),) if strength else ()
        request = ImageRequest("isabella, girl", (5,), 64, 64, "", "Euler", 8, 7, loras=loras)
        ours = np.asarray(host.generate(request, Job())[0].image, float)
        assert np.abs(theirs - ours).mean() < 1, strength
        drawn[strength] = theirs
    assert np.abs(drawn[0.0] - drawn[1.0]).mean() > 3


def test_diffusers_loads_the_file_and_changes_the_picture_as_we_do(
    xl: WebUI, trained: dict[str, Any], tmp_path: Path
) -> None:
    """Within 1 of 255 of each pixel, and far more between with and without the LoRA."""
    path = Path(next(reversed(trained["job"]["result"]["loras"])))
    file = xl.data / "models" / "Stable-diffusion" / "xl.safetensors"
    request = ImageRequest("isabella, girl", (7,), 64, 64, sampler="DDIM", steps=4, cfg_scale=5.0)
    host = StandaloneHost(file, "cpu")
    bare, ours = (
        np.asarray(host.generate(replace(request, loras=loras), Job())[0].image, float)
        for loras in ((), (LoraUse(path),))
    )
    pipe = load_pipeline(file, tmp_path)
    pipe.load_lora_weights(str(path.parent), weight_name=path.name, local_files_only=True)
    pipe.scheduler.set_timesteps(request.steps)
    # Ours begins, as the WebUI does, with the noise of the first timestep, not with all of it
    first = pipe.scheduler.alphas_cumprod[pipe.scheduler.timesteps[0]]
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(7))
    theirs = pipe(
        request.prompt,
        latents=noise * (1 - first).sqrt(),
        height=64,
        width=64,
        num_inference_steps=request.steps,
        guidance_scale=request.cfg_scale,
        output_type="np",
    ).images[0]
    assert np.abs(ours - bare).max() > 8
    assert np.abs(ours - theirs * 255).max() <= 1


def test_another_prediction_than_the_webuis_is_refused_before_anything_is_drawn(
    xl: WebUI, trained: dict[str, Any]
) -> None:
    name = xl.prepared(new_workspace(xl, "declared", training__prediction="v_prediction", **LIGHT))
    job = xl.ended(xl.submit(name, "regularize"), ENOUGH)
    assert job["state"] == "failed" and "vconfig FILE" in job["error"], job
    assert xl.picture() == trained["picture"]


def test_the_axes_take_epochs_strengths_and_sdxls_block_weights(
    xl: WebUI, trained: dict[str, Any]
) -> None:
    drawn = cells(grid(xl, "isabella, girl", (OURS[0], "wide-000001,wide"), (OURS[1], "0.5,1")), 4)
    expected = [
        pixels(xl.picture(f"isabella, girl <lora:{name}:{strength}>"))
        for strength in ("0.5", "1")
        for name in ("wide-000001", "wide")
    ]
    assert len(drawn) == 4 and all(map(np.array_equal, drawn, expected))
    baked = cells(grid(xl, "isabella, girl <lora:wide:1>", (OURS[2], f'ALL,"{TWELVE}",NONE')), 3)
    assert np.array_equal(baked[0], expected[3]) and not np.array_equal(baked[0], baked[1])
    assert np.abs(baked[2].astype(int) - pixels(xl.picture("isabella, girl"))).max() <= 1


def test_a_cancelled_training_leaves_nothing_behind_and_goes_on_exactly(
    xl: WebUI, trained: dict[str, Any]
) -> None:
    name = xl.prepared(new_workspace(xl, "wide cancelled", training__epochs=4, **BOTH_TEXTS))
    root = xl.data / "outputs" / "singlelora"
    shutil.copytree(root / name, root / "wide whole")
    number = xl.submit(name, "train")
    xl.training_step(number, 4)
    assert xl.ask(f"/singlelora/v1/jobs/{number}/cancel", {})["cancelled"]
    assert xl.ended(number)["state"] == "cancelled"
    assert xl.picture() == trained["picture"]
    untouched(trained["state"], xl.ask("/probe/state"))
    for each in (name, "wide whole"):
        assert xl.ended(xl.submit(each, "train"), ENOUGH)["state"] == "done"
    same_weights(*(root / n / "model" / "isabella.safetensors" for n in (name, "wide whole")))


@pytest.mark.parametrize("kind", ["memory", "exception"])
def test_a_failed_training_leaves_nothing_behind(
    xl: WebUI, trained: dict[str, Any], kind: str
) -> None:
    name = xl.prepared(
        new_workspace(
            xl, f"wide broken by {kind}", **BOTH_TEXTS, training__gradient_checkpointing=True
        )
    )
    xl.ask(f"/probe/break/{kind}", {})
    assert xl.ended(xl.submit(name, "train"), ENOUGH)["state"] == "failed"
    assert xl.picture() == trained["picture"]
    untouched(trained["state"], xl.ask("/probe/state"))


def test_a_lora_of_the_last_prompt_is_not_trained_into_the_new_one(
    xl: WebUI, trained: dict[str, Any]
) -> None:
    files = []
    for name, prompt in (("wide after", "isabella <lora:wide:1>"), ("wide plain", "isabella")):
        xl.prepared(new_workspace(xl, name, training__epochs=1, **BOTH_TEXTS))
        xl.picture(prompt)
        assert xl.ended(xl.submit(name, "train"), ENOUGH)["state"] == "done"
        files.append(xl.data / "outputs" / "singlelora" / name / "model" / "isabella.safetensors")
    same_weights(*files)
    assert xl.picture() == trained["picture"]


def test_samples_are_drawn_while_it_trains(xl: WebUI, trained: dict[str, Any]) -> None:
    name = xl.prepared(new_workspace(xl, "wide samples", training__sample_every=1, **LIGHT))
    job = xl.ended(xl.submit(name, "train"), ENOUGH)
    assert job["state"] == "done", job["error"]
    assert list((xl.data / "outputs" / "singlelora" / name).glob("**/sample*/*.png"))
    assert xl.picture() == trained["picture"]


def test_a_lora_of_another_family_is_refused_in_both_directions(
    xl: WebUI, trained: dict[str, Any]
) -> None:
    narrow = new_workspace(xl, "narrow", training__epochs=1, **LIGHT)
    load(xl, "small")
    try:
        assert xl.ended(xl.submit(xl.prepared(narrow), "train"), ENOUGH)["state"] == "done"
        job = xl.ended(xl.submit(trained["name"], "plot", plot__epochs="1"), ENOUGH)
        assert job["state"] == "failed" and "found a LoRA for SDXL" in job["error"], job
    finally:
        load(xl, "xl")
    job = xl.ended(xl.submit(narrow, "plot"), ENOUGH)
    assert job["state"] == "failed" and "found a LoRA for Stable Diffusion 1" in job["error"], job
    assert xl.picture() == trained["picture"]


@pytest.mark.parametrize("file", ["xl v", "xl bare"])
def test_a_v_prediction_checkpoint_trains_by_its_yaml_or_its_keys(xl: WebUI, file: str) -> None:
    """Forge and reForge read the file's keys too."""
    if file == "xl bare" and xl.kind == "webui":
        pytest.skip("1.10.1 does not read the keys: the next test")
    load(xl, file)
    name = file.replace("xl", "wide")
    try:
        assert xl.ask("/singlelora/v1/checkpoint")["problem"] == ""
        picture = xl.picture()
        state = state_of(xl)
        job = xl.ended(xl.submit(new_workspace(xl, name, **BOTH_TEXTS)), ENOUGH)
        assert job["state"] == "done", job["error"]
        assert xl.picture() == picture
        untouched(state, xl.ask("/probe/state"))
        assert xl.picture(f"isabella, girl <lora:{name.replace(' ', '_')}:1>") != picture
        lora = read_lora(Path(next(iter(job["result"]["loras"]))))
        assert lora.metadata["modelspec.prediction_type"] == "v"
        # The file says zero terminal SNR too, which 1.10.1 knows as an option alone.
        if xl.kind == "webui":
            cell = next(Path(job["result"]["sheet"]).parent.glob("cells/**/*.png"))
            with Image.open(cell) as opened:
                assert "Noise Schedule: Zero Terminal SNR" in opened.info["parameters"]
    finally:
        load(xl, "xl")


@in_1_10_1
def test_a_v_prediction_checkpoint_without_a_yaml_is_refused_and_mended(
    xl: WebUI, tmp_path: Path
) -> None:
    """1.10.1 takes it for epsilon: its config for SDXL is the small one here."""
    small = tmp_path / "small.yaml"
    small.write_text(yaml_text())
    before = xl.ask("/probe/config", {"path": str(small)})
    config = xl.data / "models" / "Stable-diffusion" / "xl bare.yaml"
    try:
        load(xl, "xl bare")
        noise = xl.picture()
        told = xl.ask("/singlelora/v1/checkpoint")
        assert told["name"] == "xl bare" and told["remedy"] == "Write xl bare.yaml"
        name = new_workspace(xl, "bare", **BOTH_TEXTS)
        job = xl.ended(xl.submit(name), ENOUGH)
        assert job["state"] == "failed" and "v-prediction" in job["error"], job
        assert "xl bare.yaml" in xl.ask("/singlelora/v1/checkpoint/mend", {})["message"]
        assert "VScaling" in config.read_text()
        assert xl.ask("/singlelora/v1/checkpoint") == {
            "name": "xl bare",
            "problem": "",
            "remedy": "",
        }
        assert xl.picture() != noise
        told, theirs = lent(xl, tmp_path)
        assert told["kind"] == "v_prediction"
        assert theirs["alphas_cumprod"][-1] < 1e-6
        job = xl.ended(xl.submit(name), ENOUGH)
        assert job["state"] == "done", job["error"]
        with pytest.raises(Refused, match="nothing to mend"):
            xl.ask("/singlelora/v1/checkpoint/mend", {})
    finally:
        load(xl, "xl")
        config.unlink(missing_ok=True)
        xl.ask("/probe/config", {"path": before})


@in_1_10_1
def test_a_yaml_of_the_users_is_not_overwritten(xl: WebUI) -> None:
    config = xl.data / "models" / "Stable-diffusion" / "xl bare.yaml"
    config.write_text(yaml_text("epsilon"))
    try:
        load(xl, "xl bare")
        told = xl.ask("/singlelora/v1/checkpoint")
        assert "change EpsScaling to VScaling" in told["problem"] and told["remedy"] == ""
        with pytest.raises(Refused, match="move it away"):
            xl.ask("/singlelora/v1/checkpoint/mend", {})
        assert config.read_text() == yaml_text("epsilon")
    finally:
        load(xl, "xl")
        config.unlink()


@in_1_10_1
def test_the_config_that_is_written_at_full_size_is_the_webuis_own_with_v(xl: WebUI) -> None:
    from lib_singlelora.families.sdxl import SDXL
    from lib_singlelora.hosts.v_config import full_size, with_v_prediction

    own = (
        xl.folder
        / "repositories"
        / "generative-models"
        / "configs"
        / "inference"
        / "sd_xl_base.yaml"
    ).read_text()
    ours = full_size(SDXL)
    assert ours is not None
    assert yaml.safe_load(ours) == yaml.safe_load(with_v_prediction(own, "sd_xl_base.yaml"))
