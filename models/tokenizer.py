"""DNA to token ids, for every family, without torch or transformers.

`SequenceTokenizer.encode` normalises first: letters are upper-cased and everything but A, C, G and
T becomes N. `SequenceTokenizer.raw` is the bare tokenizer, which matches the official ones exactly
on any text, lower case and IUPAC letters included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..errors import GenoslimError, UsageError
from ..files import read_json, write_json, write_text
from .batches import padded_length
from .families import CONFIG_FILE, token_limit

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
VOCABULARY_FILE = "vocab.txt"

_ROLES = ("unk", "cls", "sep", "pad", "mask")
_UNLIMITED = 1_000_000
"""transformers writes 1e30 for "no limit": anything from here on means none."""

_TO_ACGTN = bytes(ord(chr(i).upper()) if chr(i) in "ACGTacgt" else ord("N") for i in range(256))


class SequenceTokenizer:
    """A tokenizer of DNA sequences with the ids that batching, masking and padding need."""

    def __init__(self, raw: Tokenizer, *, max_tokens: int | None = None, source: str = "") -> None:
        raw.no_truncation()
        raw.no_padding()
        self.raw = raw
        self.max_tokens = max_tokens
        self._source = source or "tokenizer"
        self._tokens = {role: token for role in _ROLES if (token := _special(raw, role))}
        self.pad_id: int = self._id("pad")
        added = raw.get_added_tokens_decoder().items()
        roles = (raw.token_to_id(token) for token in self._tokens.values())
        self.special_ids: frozenset[int] = frozenset(
            {*(i for i, token in added if token.special), *roles}
        )

    @classmethod
    def from_file(cls, path: Path, *, max_tokens: int | None = None) -> Self:
        """Read a `tokenizer.json`; raises GenoslimError if it is absent or not a tokenizer."""
        if not path.is_file():
            raise GenoslimError(f"{path}: no such file; it should be a {TOKENIZER_FILE}")
        from tokenizers import Tokenizer

        try:
            raw = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises bare Exception
            raise GenoslimError(f"{path}: not a readable {TOKENIZER_FILE} ({error})") from error
        return cls(raw, max_tokens=max_tokens, source=str(path))

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Read the tokenizer of a checkpoint folder.

        `tokenizer.json` if it is there, else the Nucleotide Transformer's rule over `vocab.txt`
        (the official v1 file names two tokens more than its model has rows: they are left out).
        `max_tokens` is the smaller of what `tokenizer_config.json` and `config.json` allow.
        """
        limit = _limit(folder)
        if (folder / TOKENIZER_FILE).is_file():
            return cls.from_file(folder / TOKENIZER_FILE, max_tokens=limit)
        path = folder / VOCABULARY_FILE
        if not path.is_file():
            raise GenoslimError(
                f"{folder}: no tokenizer: neither {TOKENIZER_FILE} nor {VOCABULARY_FILE} is there"
            )
        rows = (read_json(folder / CONFIG_FILE) or {}).get("vocab_size")
        vocabulary = path.read_text(encoding="utf-8").split()[:rows]
        raw = nucleotide_transformer_tokenizer(vocabulary, source=str(path))
        return cls(raw, max_tokens=limit, source=str(path))

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return int(self.raw.get_vocab_size(with_added_tokens=True))

    @property
    def mask_id(self) -> int:
        """Id of the mask token; GenoslimError if there is none."""
        return self._id("mask")

    def encode(self, sequences: Sequence[str]) -> list[np.ndarray]:
        """Return one int64 row of token ids a sequence, special tokens included.

        Never truncates: a sequence of more than `max_tokens` tokens is a GenoslimError. One string
        in place of a list of strings is a UsageError.
        """
        refuse_one_string(sequences)
        normalised = [normalise(sequence) for sequence in sequences]
        rows = [
            np.array(encoding.ids, dtype=np.int64)
            for encoding in self.raw.encode_batch_fast(normalised)
        ]
        if self.max_tokens is not None:
            for index, row in enumerate(rows):
                self._check_length(index, sequences[index], len(row))
        return rows

    def pad(
        self, rows: Sequence[np.ndarray], *, multiple: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return input ids and attention mask, both int64 [batch, T], right-padded.

        T is the length of the longest row, or the next `multiple` within `max_tokens`.
        """
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        longest = padded_length(
            int(lengths.max(initial=0)), multiple=multiple, limit=self.max_tokens
        )
        attention_mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
        input_ids = np.full((len(rows), longest), self.pad_id, dtype=np.int64)
        if len(rows):
            input_ids[attention_mask == 1] = np.concatenate(rows)
        return input_ids, attention_mask

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`; AutoTokenizer reads them alike."""
        settings: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],
            **{f"{role}_token": token for role, token in self._tokens.items()},
        }
        if self.max_tokens is not None:
            settings["model_max_length"] = self.max_tokens
        write_text(folder / TOKENIZER_FILE, self.raw.to_str(pretty=True))
        write_json(folder / TOKENIZER_CONFIG_FILE, settings)

    def _id(self, role: str) -> int:
        token = self._tokens.get(role)
        if token is None:
            raise GenoslimError(f"{self._source}: no {role} token ([{role.upper()}] or <{role}>)")
        return int(self.raw.token_to_id(token))

    def _check_length(self, index: int, sequence: str, tokens: int) -> None:
        if self.max_tokens is not None and tokens > self.max_tokens:
            raise GenoslimError(
                f"sequence {index} ({len(sequence)} bases) makes {tokens} tokens; the model takes"
                f" at most {self.max_tokens}: use a shorter window"
            )


def refuse_one_string(sequences: object) -> None:
    """Raise UsageError for a string: as a sequence of sequences it would be one letter each."""
    if isinstance(sequences, str | bytes):
        raise UsageError(
            f"sequences is one string of {len(sequences)} letters; expected a list of strings:"
            " for a single sequence, [sequence]"
        )


def normalise(sequence: str) -> str:
    """Return `sequence` upper-cased, one N for every character that is not A, C, G or T."""
    return sequence.encode("ascii", errors="replace").translate(_TO_ACGTN).decode("ascii")


def nucleotide_transformer_tokenizer(
    vocabulary: Iterable[str], *, source: str = VOCABULARY_FILE
) -> Tokenizer:
    """Build the Nucleotide Transformer's tokenizer from its vocabulary, in order of id.

    Left to right, six characters that are all upper-case A, C, G or T make one token; otherwise
    one of A, T, C, G, N does. A run of anything else is one `<unk>`; white space only separates.
    `<cls>` comes first and nothing comes last.
    """
    from tokenizers import AddedToken, Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from tokenizers.processors import TemplateProcessing

    ids = {token: index for index, token in enumerate(vocabulary)}
    specials = [token for token in ids if token.startswith("<")]
    missing = [token for token in ("<unk>", "<pad>", "<cls>", *"ATCGN") if token not in ids]
    if missing or not any(len(token) == 6 and set(token) <= set("ACGT") for token in ids):
        raise GenoslimError(
            f"{source}: not a Nucleotide Transformer vocabulary: it lacks"
            f" {', '.join(missing) or 'all 6-mers'} (first entries: {', '.join(islice(ids, 4))})"
        )
    raw = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    pattern = Regex(r"[ACGT]{6}|[ACGTN]|[^ACGTN\s]+")
    raw.pre_tokenizer = Split(pattern, behavior="removed", invert=True)
    raw.post_processor = TemplateProcessing(
        single="<cls> $A", pair=None, special_tokens=[("<cls>", ids["<cls>"])]
    )
    raw.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in specials]
    )
    return raw


def _special(raw: Tokenizer, role: str) -> str | None:
    names = (f"[{role.upper()}]", f"<{role}>")
    return next((name for name in names if raw.token_to_id(name) is not None), None)


def _limit(folder: Path) -> int | None:
    settings = read_json(folder / TOKENIZER_CONFIG_FILE) or {}
    stated = settings.get("model_max_length")
    limits = [token_limit(read_json(folder / CONFIG_FILE) or {})]
    if isinstance(stated, (int, float)) and stated < _UNLIMITED:
        limits.append(int(stated))
    return min((limit for limit in limits if limit is not None), default=None)
