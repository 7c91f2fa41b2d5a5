"""Where the embedded files lie: said once, here."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
NAME = "singlelora"

# A Stable Diffusion 1 in small; see README.md beside it.
CHECKPOINT = FOLDER / f"{NAME}.safetensors"
# CLIP's tokenizer and text encoder configuration, of every Stable Diffusion 1.
CLIP = FOLDER / "clip"
# A WD tagger in small: model.onnx and selected_tags.csv.
TAGGER = FOLDER / "tagger"
