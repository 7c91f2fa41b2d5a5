"""The step's mathematics against formulas written out anew, in double precision."""

import math

import pytest
import torch

from lib_singlelora.training.noise import add_noise, min_snr_weight, offset_noise, target, weighted_loss

ALPHA_BAR = torch.tensor([0.9985, 0.7, 0.3, 0.0047])


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 4, 5, 6, generator=generator), torch.randn(4, 4, 5, 6, generator=generator)


def test_noisy_latents_follow_ddpm() -> None:
    latents, noise = pair()
    noisy = add_noise(latents, noise, ALPHA_BAR)
    for i, a in enumerate(ALPHA_BAR.tolist()):
        expected = math.sqrt(a) * latents[i].double() + math.sqrt(1 - a) * noise[i].double()
        torch.testing.assert_close(noisy[i].double(), expected, rtol=1e-5, atol=1e-5)


def test_epsilon_and_v_targets_lead_back_to_the_latents() -> None:
    latents, noise = pair()
    noisy = add_noise(latents, noise, ALPHA_BAR)
    v = target(latents, noise, ALPHA_BAR, "v_prediction")
    assert target(latents, noise, ALPHA_BAR, "epsilon") is noise
    for i, a in enumerate(ALPHA_BAR.tolist()):
        torch.testing.assert_close(math.sqrt(a) * noisy[i] - math.sqrt(1 - a) * v[i], latents[i], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_weights(gamma: float) -> None:
    for prediction in ("epsilon", "v_prediction"):
        got = min_snr_weight(ALPHA_BAR, gamma, prediction)  # type: ignore[arg-type]
        for weight, a in zip(got.tolist(), ALPHA_BAR.tolist(), strict=True):
            snr = a / (1 - a)
            expected = min(snr, gamma) / (snr if prediction == "epsilon" else snr + 1)
            assert weight == pytest.approx(expected, rel=1e-5)


def test_offset_noise_shifts_each_channels_mean_only() -> None:
    _, noise = pair()
    shifted = offset_noise(noise, 0.1, torch.Generator().manual_seed(1))
    difference = shifted - noise
    torch.testing.assert_close(difference, difference[:, :, :1, :1].expand_as(difference), rtol=0, atol=1e-6)
    assert difference[:, :, 0, 0].std() == pytest.approx(0.1, rel=0.6)
    assert offset_noise(noise, 0.0, torch.Generator()) is noise


def test_the_loss_is_the_mean_of_weighted_squares() -> None:
    predicted, wanted = pair()
    weight = torch.tensor([1.0, 0.5, 0.0, 2.0])
    expected = sum(w * ((predicted[i].double() - wanted[i].double()) ** 2).mean() for i, w in enumerate(weight.tolist())) / 4
    assert float(weighted_loss(predicted, wanted, weight)) == pytest.approx(float(expected), rel=1e-5)
