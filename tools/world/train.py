"""Trains the embedded world: python -m tools.world.train [--stage all|vae|text|unet|decoder|tagger]
[--minutes 60] [--state DIR] [--base FILE] [--half].

With --base, a stage goes on from a checkpoint of ours and the tagger in the folder beside it, with
drawings by many hands (scenes/look.py): decoder then tagger where the latents, and with them the
U-Net, are to stay; vae, unet and tagger where they are not.

Every stage resumes where it stopped. `all` goes vae -> text -> tagger -> unet -> decoder, each
until its share of the minutes is over or its planned steps are done.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from .networks.base import base_vae, check_same_base, fingerprint
from .networks.store import Store, default_state, run

STAGES = ("vae", "text", "tagger", "unet", "decoder")
STEPS = {"vae": 3300, "text": 1500, "tagger": 28_000, "unet": 200_000, "decoder": 2500}


def frozen_vae(store: Store) -> dict[str, torch.Tensor]:
    """The whitened VAE; made once from the VAE stage's moving average, then never changed."""
    from .networks.train_vae import whitened

    weights = store.load("vae_frozen")
    if weights is None:
        state = store.load("vae")
        if state is None:
            raise SystemExit(f"{store.folder}: no trained VAE here; run --stage vae first")
        weights = whitened(state["ema"])
        store.save("vae_frozen", weights)
    return weights


def vae_of(base: Path, store: Store) -> dict[str, torch.Tensor]:
    """The VAE that went on from the base's, or the base's own where none did.

    It is the state's from now on: latents are encoded by it and export takes it with the U-Net.
    """
    own = base_vae(base)
    frozen, trained = store.load("vae_frozen"), store.load("vae")
    if frozen is None:
        if trained is not None:
            check_same_base(trained, fingerprint(own))
            frozen = {k: v.half().float().contiguous() for k, v in trained["ema"].items()}
        else:
            frozen = own
        store.save("vae_frozen", frozen)
        store.save("vae_from", {"base": fingerprint(own)})
    else:
        check_same_base(store.load("vae_from") or {}, fingerprint(own))
    return frozen


def _until(steps: int | None, gone_on: int, base: Path | None) -> int | None:
    """The step at which a stage stops; from a base there is no more to do after `gone_on`."""
    return min(steps or gone_on, gone_on) if base else steps


def train(
    stage: str,
    store: Store,
    minutes: float,
    steps: int | None,
    device: str,
    base: Path | None = None,
    half: bool = False,
) -> None:
    """One stage for so many minutes; `base` is what it goes on from."""
    if stage == "vae":
        from .networks.train_vae import GONE_ON, VaeTraining

        if store.load("vae_frozen") is not None:
            print("the VAE is frozen already; --stage decoder goes on with its decoder alone")
            return
        own = base_vae(base) if base else None
        training = VaeTraining(device, base=own, half=half)
        run(training, store, minutes, _until(steps, GONE_ON, base))
    elif stage == "decoder":
        from .networks.train_vae import GONE_ON, VaeTraining

        before_it = vae_of(base, store) if base else frozen_vae(store)
        training = VaeTraining(device, before_it, base_vae(base) if base else None, half)
        run(training, store, minutes, _until(steps, GONE_ON, base))
    elif stage == "text":
        from .networks.train_text import TextTraining

        run(TextTraining(device), store, minutes, steps)
    elif stage == "unet":
        from .networks.train_unet import GONE_ON, UnetTraining

        text = None if base else store.load("text")
        vae = vae_of(base, store) if base else frozen_vae(store)
        folder = store.folder / "latents"
        run(
            UnetTraining(vae, text and text["model"], folder, device, base=base),
            store,
            minutes,
            _until(steps, GONE_ON, base),
        )
    else:
        from .networks.train_tagger import GONE_ON, TaggerTraining

        vae = vae_of(base, store) if base else store.load("vae_frozen")
        decoder = store.load("decoder") if base else None
        if decoder:
            check_same_base(decoder, fingerprint(base_vae(base)))
            vae = decoder["ema"]
        before = base.parent / "tagger" / "model.onnx" if base else None
        if before and not before.is_file():
            raise SystemExit(f"{before}: found no file, expected the tagger that belongs to {base}")
        tagger = TaggerTraining(vae, device, before, half)
        run(tagger, store, minutes, _until(steps, GONE_ON, base))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", choices=("all", *STAGES), default="all")
    parser.add_argument("--minutes", type=float, default=60.0, help="of this call")
    parser.add_argument(
        "--steps", type=int, help="stop at this step of the stage, earlier calls counted in"
    )
    parser.add_argument("--state", type=Path, default=default_state())
    parser.add_argument("--base", type=Path, help="the stage goes on from this checkpoint of ours")
    parser.add_argument(
        "--half",
        action="store_true",
        help="vae, decoder and tagger in bfloat16; quicker where the processor has AMX",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--threads", type=int, default=1, help="beside other work one is the fastest"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    store = Store(given.state)
    store.note(machine=torch.cuda.get_device_name() if given.device == "cuda" else "CPU")
    if given.base and given.stage not in ("vae", "unet", "decoder", "tagger"):
        parser.error(f"--base: found --stage {given.stage}, expected vae, unet, decoder or tagger")
    if given.half and given.stage not in ("vae", "decoder", "tagger"):
        parser.error(f"--half: found --stage {given.stage}, expected vae, decoder or tagger")
    if given.stage != "all":
        train(given.stage, store, given.minutes, given.steps, given.device, given.base, given.half)
        return
    share = {"vae": 0.2, "text": 0.02, "tagger": 0.06, "unet": 0.67, "decoder": 0.05}
    for stage in STAGES:
        train(stage, store, given.minutes * share[stage], given.steps or STEPS[stage], given.device)
        if stage == "vae":
            frozen_vae(store)


if __name__ == "__main__":
    main()
