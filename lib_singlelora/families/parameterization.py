"""What a checkpoint's U-Net predicts, and over which schedule: read from what the file says.

Sources: the empty tensors `v_pred` and `ztsnr` are NoobAI's, which ComfyUI, Forge and the WebUI's
development branch read; `modelspec.prediction_type` is Stability AI's model metadata.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .family import Family, Prediction

V_KEY = "v_pred"
ZTSNR_KEY = "ztsnr"
METADATA = "modelspec.prediction_type"
ZTSNR_METADATA = ("ztsnr", "zero_terminal_snr", "modelspec.zero_terminal_snr")


@dataclass(frozen=True)
class Parameterization:
    """What the U-Net's output means.

    zero_terminal_snr: the schedule is rescaled so that its last timestep is pure noise.
    source: where that was read, for the log.
    assumed: nothing in the file says it.
    """

    prediction: Prediction
    zero_terminal_snr: bool = False
    source: str = ""
    assumed: bool = False

    def __str__(self) -> str:
        words = "v-prediction" if self.prediction == "v_prediction" else "epsilon prediction"
        schedule = " with zero terminal SNR" if self.zero_terminal_snr else ""
        return f"{words}{schedule} ({self.source})"


def parameterization_of(
    family: Family,
    keys: Collection[str],
    metadata: Mapping[str, str],
    config: Prediction | None = None,
) -> Parameterization:
    """What a checkpoint says of itself.

    The config beside the file goes first, then the file's keys, then its metadata, then the
    family's custom.

    config: what the `.yaml` beside the file says; None where it says nothing.
    """
    rescaled = ZTSNR_KEY in keys or any(
        metadata.get(name, "").casefold() in ("true", "1") for name in ZTSNR_METADATA
    )
    if config:
        return Parameterization(config, rescaled, "its .yaml")
    if V_KEY in keys:
        return Parameterization("v_prediction", rescaled, f"its key {V_KEY}")
    kind = metadata.get(METADATA, "").casefold()
    if kind in ("v", "v_prediction", "v-prediction"):
        return Parameterization("v_prediction", rescaled, f"its metadata, {METADATA}")
    if kind in ("epsilon", "eps"):
        return Parameterization("epsilon", False, f"its metadata, {METADATA}")
    return Parameterization(family.prediction, False, f"as {family} has it", assumed=True)
