"""The history of a LoRA after its training, in its metadata."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping

HISTORY = "ss_singlelora_history"
# Hashes of what the tensors were; `write_lora` computes its own anew.
STALE = ("sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256")


def history_of(metadata: Mapping[str, str]) -> list[str]:
    """The steps, oldest first, a sentence each."""
    with contextlib.suppress(ValueError, RecursionError):
        steps = json.loads(metadata.get(HISTORY, "[]"))
        if isinstance(steps, list):
            return [str(step) for step in steps]
    return []


def with_step(
    metadata: Mapping[str, str], sentence: str, told: Mapping[str, str]
) -> dict[str, str]:
    """The metadata with one more step and its entries, without hashes that no longer hold."""
    kept = {key: value for key, value in metadata.items() if key not in STALE}
    return {
        **kept,
        **told,
        HISTORY: json.dumps([*history_of(metadata), sentence], ensure_ascii=False),
    }
