"""The step's mathematics against formulas written out anew, in double precision."""

import math

import pytest
import torch

from lib_singlelora.training.losses import elementwise, per_sample_loss, weighted_mean
from lib_singlelora.training.noise import (
    add_noise,
    min_snr_weight,
    multires_noise,
    offset_noise,
    signal_to_noise,
    target,
    zero_terminal_snr,
)

ALPHA_BAR = torch.tensor([0.9985, 0.7, 0.3, 0.0047])


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 4, 5, 6, generator=generator), torch.randn(
        4, 4, 5, 6, generator=generator
    )


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
        torch.testing.assert_close(
            math.sqrt(a) * noisy[i] - math.sqrt(1 - a) * v[i], latents[i], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_weights(gamma: float) -> None:
    for prediction in ("epsilon", "v_prediction"):
        got = min_snr_weight(ALPHA_BAR, gamma, prediction)
        for weight, a in zip(got.tolist(), ALPHA_BAR.tolist(), strict=True):
            snr = a / (1 - a)
            expected = min(snr, gamma) / (snr if prediction == "epsilon" else snr + 1)
            assert weight == pytest.approx(expected, rel=1e-5)


def test_offset_noise_shifts_each_channels_mean_only() -> None:
    _, noise = pair()
    shifted = offset_noise(noise, 0.1, torch.Generator().manual_seed(1))
    difference = shifted - noise
    torch.testing.assert_close(
        difference, difference[:, :, :1, :1].expand_as(difference), rtol=0, atol=1e-6
    )
    assert difference[:, :, 0, 0].std() == pytest.approx(0.1, rel=0.6)
    assert offset_noise(noise, 0.0, torch.Generator()) is noise


def test_the_loss_is_the_mean_of_weighted_squares() -> None:
    predicted, wanted = pair()
    weight = torch.tensor([1.0, 0.5, 0.0, 2.0])
    expected = (
        sum(
            w * ((predicted[i].double() - wanted[i].double()) ** 2).mean()
            for i, w in enumerate(weight.tolist())
        )
        / 4
    )
    assert float(
        weighted_mean(per_sample_loss(elementwise("l2", predicted, wanted, weight)), weight)
    ) == pytest.approx(float(expected), rel=1e-5)


def test_multires_noise_has_unit_deviation_and_coarser_parts_than_white_noise() -> None:
    generator = torch.Generator().manual_seed(1)
    white = torch.randn(1, 4, 32, 32, generator=generator)
    mixed = multires_noise(white, 6, 0.8, generator)
    assert float(mixed.std()) == pytest.approx(1, abs=1e-5)
    coarse = [float(torch.nn.functional.avg_pool2d(noise, 8).std()) for noise in (white, mixed)]
    assert coarse[1] > 2 * coarse[0]


def test_no_iterations_leave_the_noise_as_it_is() -> None:
    white = torch.randn(1, 4, 8, 8)
    assert multires_noise(white, 0, 0.3, torch.Generator()) is white


def test_zero_terminal_snr_ends_in_pure_noise_and_starts_as_before() -> None:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, 0).float()
    moved = zero_terminal_snr(alphas)
    assert float(moved[-1]) == 0 and float(moved[0]) == pytest.approx(float(alphas[0]), rel=1e-6)
    assert bool((moved[1:] < moved[:-1]).all())
    assert float(signal_to_noise(moved)[-1]) == 0
