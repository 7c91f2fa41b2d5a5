"""CLIP's tokens: how many a text has, where the limit of 75 falls, which words are one token.

The vocabulary is CLIP's own; the package tokenizers, a dependency of transformers, splits the text
as transformers does.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ..embedded.paths import CLIP
from ..errors import MissingPackageError

LIMIT = 75  # tokens of one chunk, without the start and end tokens
START_TOKEN = "<|startoftext|>"
END_TOKEN = "<|endoftext|>"
# Source: transformers, convert_slow_tokenizer.py, CLIPConverter.
_PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def count_tokens(text: str) -> int:
    """The number of CLIP tokens of a text, without the start and end tokens.

    Raises: MissingPackageError.
    """
    return len(clip_tokenizer().encode(text).ids)


def mark_limit(text: str, limit: int = LIMIT) -> tuple[str, str]:
    """The text in two: what fits into the limit, and what is beyond it ('' when all fits).

    Raises: MissingPackageError.
    """
    offsets = clip_tokenizer().encode(text).offsets
    if len(offsets) <= limit:
        return text, ""
    end = int(offsets[limit - 1][1])
    return text[:end], text[end:]


def is_word(word: str) -> bool:
    """True if the word is one whole token of CLIP's, as every common word and many names are.

    Raises: MissingPackageError.
    """
    return clip_tokenizer().token_to_id(f"{word.lower()}</w>") is not None


def rare_words(count: int) -> list[str]:
    """The rarest short words of one token each: those that stand last in CLIP's vocabulary.

    Raises: MissingPackageError.
    """
    tokenizer = clip_tokenizer()
    words: list[str] = []
    for number in range(tokenizer.get_vocab_size() - 1, 0, -1):
        word, end, _ = str(tokenizer.id_to_token(number)).partition("</w>")
        if end and word.isascii() and word.isalpha() and 3 <= len(word) <= 5:
            words.append(word)
            if len(words) == count:
                break
    return words


@cache
def clip_tokenizer() -> Any:
    """CLIP's tokenizer, a Tokenizer of the package tokenizers; it adds no tokens to a text's.

    Raises: MissingPackageError.
    """
    try:
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    except ImportError:
        raise MissingPackageError(
            "counting tokens needs the package tokenizers; install transformers, which brings it"
        ) from None
    tokenizer = Tokenizer(
        models.BPE.from_file(
            str(CLIP / "vocab.json"),
            str(CLIP / "merges.txt"),
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            unk_token=END_TOKEN,
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    # Written in a text they are tokens too
    tokenizer.add_special_tokens([START_TOKEN, END_TOKEN])
    return tokenizer
