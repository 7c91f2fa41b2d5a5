"""Prompts in the WebUI's language, drawn without a WebUI."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from lib_singlelora.errors import LoraFileError, SettingsError
from lib_singlelora.host import Conditioning, ImageRequest, LoraUse
from lib_singlelora.hosts.clip import encode
from lib_singlelora.hosts.standalone.checkpoint_loader import CheckpointNetworks
from lib_singlelora.hosts.standalone.conditioning import chunks, encode_weighted, guidance, predict
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.lora.files import write_lora
from lib_singlelora.lora.network import LoraNetwork, LoraShape


@pytest.fixture(scope="module")
def networks(standalone_host: StandaloneHost) -> CheckpointNetworks:
    return standalone_host.networks


def encoded(networks: CheckpointNetworks, *texts: str) -> torch.Tensor:
    with torch.inference_mode():
        return encode_weighted(networks.encoders, networks.tokenizer, texts, 1, "cpu").context


def draw(host: StandaloneHost, prompt: str, **more: object) -> np.ndarray:
    request = ImageRequest(prompt, (1,), 64, 64, steps=2, **more)
    return np.asarray(host.generate(request, Job())[0].image)


def test_a_plain_prompt_is_encoded_as_a_caption_is(networks: CheckpointNetworks) -> None:
    with torch.inference_mode():
        caption = encode(networks.text, networks.tokenizer, ["a red hat"], 1, "cpu")
    assert torch.equal(encoded(networks, "a red hat"), caption)
    assert torch.equal(encoded(networks, r"a red hat"), encoded(networks, "a red hat"))


def test_a_weight_scales_its_own_tokens_and_the_mean_stays(networks: CheckpointNetworks) -> None:
    plain = encoded(networks, "a red hat")[0]
    weighted = encoded(networks, "a (red:1.5) hat")[0]
    ratio = weighted / plain
    relative = (ratio[2].mean() / ratio[1].mean()).item()  # start, a, red, hat
    assert relative == pytest.approx(1.5, abs=1e-3)
    assert weighted.mean().item() == pytest.approx(plain.mean().item(), abs=1e-5)


def test_brackets_that_are_escaped_reach_the_tokenizer(networks: CheckpointNetworks) -> None:
    numbers = networks.tokenizer("hat (red)", add_special_tokens=False).input_ids
    row = chunks(networks.tokenizer, r"hat \(red\)")[0]
    assert [token for token, _ in row][: len(numbers)] == numbers
    assert {weight for _, weight in row} == {1.0}


def test_break_begins_a_chunk(networks: CheckpointNetworks) -> None:
    assert encoded(networks, "a BREAK b").shape[1] == 2 * 77
    assert len(chunks(networks.tokenizer, "a BREAK b BREAK c")) == 3


def test_a_piece_behind_a_comma_is_not_torn_by_the_end_of_a_chunk(
    networks: CheckpointNetworks,
) -> None:
    first, second = chunks(networks.tokenizer, "a " * 70 + ", b b b b b b b")
    end = networks.tokenizer.eos_token_id
    assert (
        sum(token != end for token, _ in first) == 71
        and sum(token != end for token, _ in second) == 7
    )


def test_prompts_between_and_are_weighed_against_the_negative_one(
    networks: CheckpointNetworks,
) -> None:
    prompt = "a AND b BREAK c :0.5"
    texts = guidance(networks.encoders, networks.tokenizer, prompt, "n", 1, 4, "cpu")

    def unet(
        latents: torch.Tensor, conditioning: Conditioning, owners: Sequence[int]
    ) -> torch.Tensor:
        context = conditioning.context
        assert list(owners) == [0] * len(latents)
        return context.mean((1, 2)).reshape(-1, 1, 1, 1).expand(len(context), 4, 2, 2)

    longer = encoded(networks, "b BREAK c")[0]
    shorter = encoded(networks, "a")[0]
    shorter = torch.cat([shorter, shorter[-1:].expand(77, -1)])  # filled up as the WebUI does
    negative = encoded(networks, "n")[0].mean()
    expected = negative + 7 * (shorter.mean() - negative) + 7 * 0.5 * (longer.mean() - negative)
    guided = predict([texts], unet, torch.zeros(1, 4, 2, 2), 0, 7.0)
    assert guided.shape == (1, 4, 2, 2)
    assert guided.mean().item() == pytest.approx(expected.item(), rel=1e-4)


def test_editing_changes_the_text_between_steps(networks: CheckpointNetworks) -> None:
    texts = guidance(networks.encoders, networks.tokenizer, "[a:b:2]", "", 1, 6, "cpu")
    scheduled = texts.positive[0]
    assert torch.equal(scheduled.at(0), scheduled.at(2))
    assert not torch.equal(scheduled.at(2), scheduled.at(3))


def test_a_lora_named_in_the_prompt_is_the_lora_of_a_request(
    standalone_host: StandaloneHost, small_checkpoint: Path
) -> None:
    folder = small_checkpoint.parent / "Lora"
    folder.mkdir()
    try:
        path = folder / "deep.safetensors"
        with standalone_host.open_for_training() as model, torch.no_grad():
            network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, 1)
            for _, branch in network.items():
                branch.up.fill_(0.1)
            write_lora(path, network.kohya_tensors(), {}, "fp32")
        expected = draw(standalone_host, "a girl", loras=(LoraUse(path, 0.5, 0.8),))
        assert np.array_equal(draw(standalone_host, "a girl<lora:deep:0.8:0.5>"), expected)
        assert np.array_equal(draw(standalone_host, "a girl<lora:deep:te=0.8:unet=0.5>"), expected)
        assert not np.array_equal(draw(standalone_host, "a girl"), expected)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("prompt", "error", "word"),
    [
        ("a <lora:nobody:1>", LoraFileError, "nobody"),
        ("a <lora:../small:1>", LoraFileError, "small"),
        ("a <lora:x:much>", SettingsError, "much"),
        ("a <lora:x:nan>", SettingsError, "nan"),
        ("a <lora:x:1:lbw=OUTD>", SettingsError, "lbw"),
        ("a <hypernet:x:1>", SettingsError, "hypernet"),
        ("(a:1.1.1)", SettingsError, "weight"),
    ],
)
def test_a_malformed_prompt_is_an_error_of_one_line(
    standalone_host: StandaloneHost, prompt: str, error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word) as caught:
        draw(standalone_host, prompt)
    assert "\n" not in str(caught.value)
