from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

class PromptChunk:
    tokens: list[int]

class TextConditionalModel(nn.Module):
    def tokenize(self, texts: Sequence[str]) -> list[list[int]]: ...
    def tokenize_line(self, line: str) -> tuple[list[PromptChunk], int]: ...
    def __call__(self, texts: Sequence[str]) -> Tensor: ...

class FrozenCLIPEmbedderWithCustomWordsBase(TextConditionalModel):
    wrapped: Any  # transformers' CLIP with its tokenizer for SD1, open_clip's model for SD2
