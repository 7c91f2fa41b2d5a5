"""The recipe: a resumed training equals an uninterrupted one, and its file is the one that SD 1
loaders read.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

pytest.importorskip(
    "skia", reason="the drawings need skia-python: pip install 'single-image-lora[world]'"
)
pytest.importorskip("transformers", reason="the text encoder needs transformers")

from safetensors.torch import load_file, save_file

from lib_singlelora.embedded.paths import CHECKPOINT, TAGGER
from tools.world.export import (
    ldm_state,
    schedule,
    unet_steps,
    weights,
    write_clip_config,
    yaml_text,
)
from tools.world.measure import Reader, tagger_accuracy
from tools.world.networks.base import base_vae, fingerprint
from tools.world.networks.models import (
    SCALE,
    UNET,
    Autoencoder,
    UNet,
    alphas_cumprod,
    new_text_encoder,
)
from tools.world.networks.muon import orthogonalise
from tools.world.networks.store import Store, run
from tools.world.networks.tagger import RATINGS, find_norms, read_tagger
from tools.world.networks.train_tagger import TaggerTraining
from tools.world.networks.train_text import TextTraining
from tools.world.networks.train_unet import UnetTraining
from tools.world.networks.train_vae import VaeTraining, pictures, whitened
from tools.world.scenes.prompts import encode, tokens
from tools.world.train import train, vae_of


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_resumed_text_training_equals_an_uninterrupted_one(tmp_path):
    run(TextTraining(), Store(tmp_path / "whole"), math.inf, steps=3)
    run(TextTraining(), Store(tmp_path / "parts"), math.inf, steps=2)
    run(TextTraining(), Store(tmp_path / "parts"), math.inf, steps=3)
    whole, parts = (Store(tmp_path / n).load("text")["model"] for n in ("whole", "parts"))
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


def test_a_tagger_is_read_back_from_its_file_and_its_norms_are_found():
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    file = TAGGER / "model.onnx"
    pictures_ = torch.randint(0, 256, (6, 128, 128, 3)).float()
    said = onnxruntime.InferenceSession(str(file)).run(None, {"input": pictures_.numpy()})[0]
    tagger = read_tagger(file, said.shape[1] - len(RATINGS)).eval()
    with torch.no_grad():
        assert tagger(pictures_).numpy() == pytest.approx(said[:, len(RATINGS) :], abs=1e-4)
        find_norms(tagger, [pictures_[:3], pictures_[3:]])
        again = tagger.eval()(pictures_).numpy()
        assert again == pytest.approx(said[:, len(RATINGS) :], abs=1e-3)
    norms = [block.norm1 for block in tagger.body]
    assert all(float(norm.running_var.std()) > 0 for norm in norms)


def test_a_training_that_goes_on_from_a_checkpoint_begins_with_its_weights(tmp_path):
    stage = UnetTraining(
        base_vae(CHECKPOINT), None, tmp_path / "latents", batch=2, shard=2, base=CHECKPOINT
    )
    held = load_file(CHECKPOINT)
    first = {key: value.clone() for key, value in stage.unet.state_dict().items()}
    assert all(
        torch.equal(first[key], held[f"model.diffusion_model.{key}"].float()) for key in first
    )
    stage.advance()
    assert any(not torch.equal(first[k], v) for k, v in stage.ema.weights.items())


def test_a_training_is_resumed_with_the_base_that_it_began_with_alone(tmp_path):
    base = base_vae(CHECKPOINT)

    def stage(from_: Path | None):
        return UnetTraining(base, None, tmp_path / "latents", batch=2, shard=2, base=from_)

    run(stage(CHECKPOINT), Store(tmp_path / "whole"), math.inf, steps=2)
    run(stage(CHECKPOINT), Store(tmp_path / "parts"), math.inf, steps=1)
    with pytest.raises(SystemExit, match="expected one from nothing"):
        run(stage(None), Store(tmp_path / "parts"), math.inf, steps=2)
    run(stage(CHECKPOINT), Store(tmp_path / "parts"), math.inf, steps=2)
    whole, parts = (Store(tmp_path / n).load("unet")["ema"] for n in ("whole", "parts"))
    assert all(torch.equal(whole[k], parts[k]) for k in whole)
    assert len(list((tmp_path / "latents").iterdir())) == 2  # by many hands, and by one


def test_a_base_that_is_none_is_told_in_one_line(tmp_path):
    junk, other = tmp_path / "junk.safetensors", tmp_path / "other.safetensors"
    junk.write_bytes(b"junk")
    save_file({"model.diffusion_model.out.2.bias": torch.zeros(4)}, other)
    store = Store(tmp_path / "state")
    for file, told in (
        (tmp_path / "none.safetensors", "found no safetensors file"),
        (junk, "found no safetensors file"),
        (other, "found no first_stage_model"),
    ):
        for stage in ("vae", "unet", "tagger"):
            with pytest.raises(SystemExit, match=told) as found:
                train(stage, store, 0.0, None, "cpu", file)
            assert "\n" not in str(found.value)
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(CHECKPOINT.read_bytes())
    with pytest.raises(SystemExit, match="expected the tagger that belongs to"):
        train("tagger", store, 0.0, None, "cpu", alone)
    tensors = load_file(CHECKPOINT)
    del tensors["model.diffusion_model.out.2.bias"]
    save_file(tensors, other)
    with pytest.raises(SystemExit, match="found a checkpoint of other networks"):
        train("unet", store, 0.0, None, "cpu", other)


def test_a_state_with_another_vae_is_not_mixed_with_a_base(tmp_path):
    store = Store(tmp_path)
    assert fingerprint(vae_of(CHECKPOINT, store)) == fingerprint(store.load("vae_frozen"))
    vae_of(CHECKPOINT, store)
    of_another_world = Store(tmp_path / "other")
    of_another_world.save("vae_frozen", Autoencoder().state_dict())
    with pytest.raises(SystemExit, match="went on from nothing"):
        vae_of(CHECKPOINT, of_another_world)


def test_a_vae_that_goes_on_is_what_the_unet_is_encoded_by_and_stays_near_it(tmp_path):
    store = Store(tmp_path)
    before = base_vae(CHECKPOINT)
    run(VaeTraining(base=before), store, math.inf, steps=2)
    run(VaeTraining(base=before), store, math.inf, steps=3)
    with pytest.raises(SystemExit, match="went on from"):
        run(VaeTraining(), store, math.inf, steps=4)
    found = vae_of(CHECKPOINT, store)
    assert fingerprint(found) != fingerprint(before)
    assert fingerprint(vae_of(CHECKPOINT, store)) == fingerprint(found)
    x = pictures(range(3))
    latents = []
    for own in (before, found):
        model = Autoencoder()
        model.load_state_dict(own)
        with torch.no_grad():
            latents.append(model.encode(x)[0] * SCALE)
    assert 0 < float((latents[0] - latents[1]).square().mean()) < 0.02


def test_a_decoder_that_goes_on_alone_leaves_the_latents_and_is_exported_with_the_rest(tmp_path):
    store = Store(tmp_path / "state")
    before = base_vae(CHECKPOINT)
    train("decoder", store, math.inf, 1, "cpu", CHECKPOINT)
    train("decoder", store, math.inf, 2, "cpu", CHECKPOINT, half=True)
    assert store.load("decoder")["step"] == 2
    with pytest.raises(SystemExit, match="expected one from nothing"):
        train("decoder", store, math.inf, 3, "cpu")
    with pytest.raises(SystemExit, match="have not both run"):
        weights(store)
    exported = ldm_state(*weights(store, CHECKPOINT))
    held = load_file(CHECKPOINT)
    assert exported.keys() == held.keys()
    changed = {key for key in held if not torch.equal(held[key], exported[key])}
    assert changed
    assert all(
        key.startswith(("first_stage_model.decoder.", "first_stage_model.post_quant_conv."))
        for key in changed
    )
    assert unet_steps(store, CHECKPOINT) == "3660"
    other = Store(tmp_path / "other")
    other.save("decoder", {"base": fingerprint(Autoencoder().state_dict()), "ema": before})
    with pytest.raises(SystemExit, match="went on from"):
        weights(other, CHECKPOINT)
    moved = before | {"encoder.conv_in.bias": before["encoder.conv_in.bias"] + 1}
    other.save("decoder", {"base": fingerprint(before), "ema": moved})
    with pytest.raises(SystemExit, match="train the stage unet"):
        weights(other, CHECKPOINT)


@pytest.mark.parametrize("stage", [VaeTraining, TaggerTraining])
def test_half_precision_changes_a_step_s_loss_by_little_and_leaves_fp32_weights(stage):
    whole, halved = stage(), stage(half=True)
    losses = [one.advance()["loss"] for one in (whole, halved)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert all(p.dtype == torch.float32 for p in halved.model.parameters())


def test_the_tagger_is_measured_by_the_renderer_s_own_hand_and_by_many():
    found = tagger_accuracy(Reader(TAGGER), count=60)
    assert found["tagger accuracy"] > 0.98
    assert found["tagger F1"] > 0.85
    assert 0.5 < found["tagger F1, many hands"] < found["tagger F1"]


def test_a_resumed_unet_training_equals_an_uninterrupted_one(tmp_path):
    vae = Autoencoder().state_dict()

    def stage():
        return UnetTraining(vae, None, tmp_path / "latents", batch=2, shard=2)

    run(stage(), Store(tmp_path / "whole"), math.inf, steps=2)
    run(stage(), Store(tmp_path / "parts"), math.inf, steps=1)
    run(stage(), Store(tmp_path / "parts"), math.inf, steps=2)
    whole, parts = (Store(tmp_path / n).load("unet")["ema"] for n in ("whole", "parts"))
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


def test_a_vae_step_is_finite_and_changes_the_weights():
    training = VaeTraining()
    before = training.model.decoder.conv_out.weight.clone()
    assert math.isfinite(training.advance()["loss"])
    assert not torch.equal(before, training.model.decoder.conv_out.weight)


def test_no_time_means_no_step(tmp_path):
    training = TextTraining()
    run(training, Store(tmp_path), 0.0)
    assert training.step == 0


def test_whitened_latents_are_uncorrelated_and_unit():
    torch.manual_seed(0)
    model = whitened(Autoencoder().state_dict(), 32)
    vae = Autoencoder()
    vae.load_state_dict(model)
    with torch.no_grad():
        z = vae.encode(pictures(range(32), world=True))[0] * SCALE
    covariance = torch.cov(z.permute(1, 0, 2, 3).flatten(1))
    assert torch.allclose(covariance, torch.eye(4), atol=0.15)  # weights are rounded to fp16


def test_whitening_leaves_the_pictures():
    torch.manual_seed(0)
    before = Autoencoder()
    after = Autoencoder()
    after.load_state_dict(whitened(before.state_dict(), 16))
    with torch.no_grad():
        x = pictures(range(2))
        y = [m.decode(m.encode(x)[0]) for m in (before, after)]
    assert torch.allclose(y[0], y[1], atol=0.02)  # fp16


def test_orthogonalised_matrices_have_singular_values_near_one():
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(2, 16, 48)))
    assert values.min() > 0.5
    assert values.max() < 1.4


def test_the_schedule_is_stable_diffusions():
    assert alphas_cumprod()[0].item() == pytest.approx(0.99915, abs=1e-5)
    assert alphas_cumprod()[-1].item() == pytest.approx(0.00466, abs=1e-5)
    assert schedule()["sqrt_alphas_cumprod"].shape == (1000,)


def test_the_text_encoders_output_has_a_mean_apart_from_zero():
    context = encode(new_text_encoder(), tokens(["1girl, blue hair"]))
    assert context.mean().item() > 0.1  # the WebUI's emphasis divides by it


def test_the_file_loads_as_stable_diffusion_1_and_predicts_the_same(tmp_path):
    pytest.importorskip("diffusers")
    from safetensors.torch import save_file

    from lib_singlelora.hosts.standalone.checkpoint_loader import load_networks
    from lib_singlelora.hosts.standalone.inspection import inspect

    torch.manual_seed(0)
    unet = UNet(**UNET)
    text = new_text_encoder()
    vae = Autoencoder()
    for module in (unet, text, vae):
        for p in module.parameters():
            # Zero-initialised layers would hide a misplaced one
            p.data.add_(torch.randn_like(p) * 0.05)
        module.eval().load_state_dict({k: v.half().float() for k, v in module.state_dict().items()})
    save_file(
        ldm_state(unet.state_dict(), text.state_dict(), vae.state_dict()),
        tmp_path / "world.safetensors",
        {"native_size": "128"},
    )
    (tmp_path / "world.yaml").write_text(yaml_text())
    write_clip_config(tmp_path / "clip")
    found = inspect(tmp_path / "world.safetensors")
    networks = load_networks(found)
    x = torch.randn(1, 4, 16, 16)
    t = torch.tensor([500])
    with torch.no_grad():
        context = encode(text, tokens(["1girl"]))
        assert torch.allclose(unet(x, t, context), networks.unet(x, t, context).sample, atol=1e-4)
        assert torch.allclose(vae.decode(x), networks.vae.decode(x).sample, atol=1e-4)
    assert found.native_size == 128
