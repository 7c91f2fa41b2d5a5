"""Textual inversions in a LoRA file: their names in prompts stand for their vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lib_singlelora.errors import LoraFileError
from lib_singlelora.host import ImageRequest, LoraUse
from lib_singlelora.hosts.clip import hidden_states
from lib_singlelora.hosts.standalone.bundled_embeddings import (
    embedding_at,
    embedding_tokens,
    vectors_of,
)
from lib_singlelora.hosts.standalone.conditioning import chunks, encode_weighted
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from tests.small_sdxl import build_small_sdxl

CASE = Path(__file__).parents[2] / "data" / "cases" / "lora_bundle.safetensors"


def test_a_name_stands_for_its_vectors(standalone_host: StandaloneHost) -> None:
    text = standalone_host.networks.text
    tokenizer = standalone_host.networks.tokenizer
    table = text.embeddings.token_embedding
    vectors = torch.randn(2, table.embedding_dim, generator=torch.Generator().manual_seed(1))
    with (
        torch.no_grad(),
        embedding_tokens(
            standalone_host.networks.encoders, tokenizer, {"isa": {"clip_l": vectors}}
        ) as embeddings,
    ):
        encoders = standalone_host.networks.encoders
        found = encode_weighted(encoders, tokenizer, ["a isa hat"], 1, "cpu", embeddings)
        context = found.context
    assert text.embeddings.token_embedding is table
    # The same by hand: two words of the table, whose vectors are put in their place and taken out
    # again.
    a, cat, dog, hat = (
        tokenizer(word, add_special_tokens=False).input_ids[0]
        for word in ("a", "cat", "dog", "hat")
    )
    kept = table.weight.detach().clone()
    with torch.no_grad():
        table.weight[[cat, dog]] = vectors
        end = tokenizer.eos_token_id
        row = [tokenizer.bos_token_id, a, cat, dog, hat, *[end] * 72]
        expected = hidden_states(text, torch.tensor([row]), 1)
        table.weight.copy_(kept)
    torch.testing.assert_close(context, expected, rtol=0, atol=1e-6)


def test_the_longest_name_counts_and_a_full_chunk_is_not_torn(
    standalone_host: StandaloneHost,
) -> None:
    tokenizer = standalone_host.networks.tokenizer
    assert (
        embedding_at([1, 2, 3], 0, {(1,): (9,), (1, 2): (8,)}) == (1, 2)
        and embedding_at([1, 2], 1, {(1,): (9,)}) == ()
    )
    name = tuple(tokenizer("zebra", add_special_tokens=False).input_ids)
    rows = chunks(tokenizer, "hat " * 74 + "zebra", {name: (60000, 60001)})
    assert len(rows) == 2 and [token for token, _ in rows[1][:2]] == [60000, 60001]


def test_the_file_changes_the_picture_of_a_prompt_with_its_name(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    width = standalone_host.networks.text.embeddings.token_embedding.embedding_dim
    tensors = {
        key: tensor for key, tensor in load_file(CASE).items() if key.startswith("bundle_emb")
    }
    tensors["bundle_emb.isa.string_to_param.*"] = (
        torch.randn(2, width, generator=torch.Generator().manual_seed(2)) * 3
    )
    stem = "lora_unet_mid_block_attentions_0_proj_in"
    out = len(standalone_host.networks.unet.mid_block.attentions[0].proj_in.weight)
    tensors |= {
        f"{stem}.lora_up.weight": torch.zeros(out, 1, 1, 1),
        f"{stem}.lora_down.weight": torch.zeros(1, out, 1, 1),
    }
    save_file(tensors, tmp_path / "isa.safetensors")

    def drawn(prompt: str, *loras: LoraUse) -> np.ndarray:
        return np.asarray(
            standalone_host.generate(
                ImageRequest(prompt, (1,), 64, 64, steps=2, loras=loras), Job()
            )[0].image
        )

    use = LoraUse(tmp_path / "isa.safetensors", 1.0, 1.0)
    assert np.array_equal(drawn("a hat", use), drawn("a hat"))
    assert not np.array_equal(drawn("isa hat", use), drawn("isa hat"))
    # Without the file the name is a plain word again
    assert np.array_equal(drawn("isa hat"), drawn("isa hat"))


def test_an_embedding_of_sdxl_has_vectors_for_both_text_encoders(tmp_path: Path) -> None:
    networks = StandaloneHost(build_small_sdxl(tmp_path), "cpu").networks
    tables = [encoder.model.embeddings.token_embedding for encoder in networks.encoders]
    generator = torch.Generator().manual_seed(3)
    both = {
        f"bundle_emb.isa.{kind}": torch.randn(2, table.embedding_dim, generator=generator)
        for kind, table in zip(("clip_l", "clip_g"), tables, strict=True)
    }
    narrow = {"bundle_emb.other.clip_l": torch.ones(1, tables[0].embedding_dim)}

    @torch.no_grad()
    def encoded(embeddings: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        vectors = vectors_of("a", embeddings)
        with embedding_tokens(networks.encoders, networks.tokenizer, vectors) as tokens:
            found = encode_weighted(
                networks.encoders, networks.tokenizer, ["a isa hat"], 1, "cpu", tokens
            )
        assert found.pooled is not None
        return found.context, found.pooled

    plain, ours = encoded({}), encoded({**both, **narrow})
    width = tables[0].embedding_dim
    for part in (slice(0, width), slice(width, None)):  # of each text encoder
        assert not torch.equal(plain[0][..., part], ours[0][..., part])
    assert not torch.equal(plain[1], ours[1])
    # One for a single text encoder is left out, and the tables are the old ones again
    assert all(map(torch.equal, plain, encoded(narrow)))
    assert [encoder.model.embeddings.token_embedding for encoder in networks.encoders] == tables


def test_what_is_no_embedding_is_refused() -> None:
    strange = {"bundle_emb.isa.weights": torch.ones(2, 8)}
    with pytest.raises(LoraFileError, match="bundled embedding 'isa' with weights, expected one"):
        vectors_of("a.safetensors", strange)
    uneven = {"bundle_emb.isa.clip_l": torch.ones(2, 8), "bundle_emb.isa.clip_g": torch.ones(1, 8)}
    with pytest.raises(LoraFileError, match="2 in clip_l, 1 in clip_g"):
        vectors_of("a.safetensors", uneven)
    assert vectors_of("a", {"bundle_emb.isa.clip_l": torch.ones(8)})["isa"]["clip_l"].shape == (
        1,
        8,
    )
