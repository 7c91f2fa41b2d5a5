"""Paths of the embedded files."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
NAME = "singlelora"

# A small Stable Diffusion 1; see README.md beside it.
CHECKPOINT = FOLDER / f"{NAME}.safetensors"
# Tokenizer and text encoder configuration of CLIP, as in every Stable Diffusion 1.
CLIP = FOLDER / "clip"
# A small WD tagger: model.onnx and selected_tags.csv.
TAGGER = FOLDER / "tagger"
# The folder of javascript/ and style.css: the checkout's own, where a WebUI looks for them; in an
# installed package they lie inside it (setup.py).
PACKAGE = FOLDER.parent
PAGE = PACKAGE if (PACKAGE / "javascript").is_dir() else PACKAGE.parent
