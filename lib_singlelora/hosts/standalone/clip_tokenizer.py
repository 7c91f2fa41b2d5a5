"""CLIP's tokenizer with what is used here of transformers', without importing that."""

from __future__ import annotations

from dataclasses import dataclass

from ...captions.tokens import END_TOKEN, START_TOKEN, clip_tokenizer


@dataclass(frozen=True)
class Encoding:
    """A text's token ids."""

    input_ids: list[int]


class ClipTokenizer:
    """CLIP's own vocabulary, which every Stable Diffusion has.

    Raises:
        MissingPackageError: the package tokenizers is not there.
    """

    def __init__(self) -> None:
        self._tokenizer = clip_tokenizer()
        self.bos_token_id = self.convert_tokens_to_ids(START_TOKEN)
        self.eos_token_id = self.convert_tokens_to_ids(END_TOKEN)

    def __call__(
        self,
        text: str,
        add_special_tokens: bool = True,
        truncation: bool = False,
        verbose: bool = False,
    ) -> Encoding:
        """A text's tokens, however many; between those of start and end if they are asked for.

        truncation, verbose: as transformers' has them; nothing is cut and nothing printed.
        """
        ids: list[int] = self._tokenizer.encode(text).ids
        return Encoding([self.bos_token_id, *ids, self.eos_token_id] if add_special_tokens else ids)

    def convert_tokens_to_ids(self, token: str) -> int:
        """The number of a token; of one that is not in the vocabulary, the end token's."""
        number = self._tokenizer.token_to_id(token)
        return int(self._tokenizer.token_to_id(END_TOKEN) if number is None else number)
