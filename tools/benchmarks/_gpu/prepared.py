"""The file that travels to the GPU: models and tokens, so that nothing there needs a tokenizer.

`prepare` makes it where the extras `cpu` and `train` are installed; reading it needs torch alone.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from genoslim.models.batches import GPU_MULTIPLE, padded_length
from genoslim.models.checkpoint import new_classifier
from genoslim.models.classifier import Classifier
from genoslim.prune.finetune import Labelled, fine_tune_tokens, predict_tokens
from genoslim.prune.recipe import Recipe
from genoslim.prune.tokens import TokenTable

FORMAT = 1
FAMILIES = ("dnabert2", "nt_v2", "nt")
SPLITS = ("train", "validation", "test")
VARIANTS, WINDOW, SEED = 2000, 96, 0


@dataclass(frozen=True)
class Prepared:
    """What the file holds, as nested dictionaries of tensors and texts."""

    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Prepared:
        """Read a file that `prepare` wrote; SystemExit if it is none, or of another format."""
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError) as error:
            raise SystemExit(f"{path}: not a file of --prepare: {error}") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise SystemExit(f"{path}: not a file of --prepare in format {FORMAT}; make it again")
        return cls(content)

    @property
    def about(self) -> str:
        """How the file was made, in words."""
        return str(self.content["about"])

    def model(self, family: str, *, tuned: bool = False) -> Classifier:
        """Return a shipped model with a fresh head, or the one that was fine-tuned from it."""
        entry = self.content["models"][family]
        model = new_classifier(json.loads(entry["config"]))
        weights = self.content["tuned"]["weights"] if tuned else entry["weights"]
        model.load_state_dict(weights, strict=tuned)
        return model.eval()

    def split(self, family: str, name: str, device: torch.device) -> Labelled:
        """Return the rows of a split as tokens of a family, on the device."""
        found = self.content["models"][family]["splits"][name]
        return _labelled(found["ids"], found["lengths"], found["labels"], device)

    @property
    def tuned_family(self) -> str:
        """The family of the fine-tuned model."""
        return str(self.content["tuned"]["family"])

    def tuned_logits(self, way: str) -> Tensor:
        """Return the fine-tuned model's logits [n, 2] on test: `fp32`, or `rehearsed` for fp16."""
        found: Tensor = self.content["tuned"]["logits"][way]
        return found

    def write_graph(self, target: str, precision: str, path: Path) -> None:
        """Write the fine-tuned model's ONNX graph made for `target` (cpu, cuda)."""
        graph: Tensor = self.content["tuned"]["graphs"][f"{target} {precision}"]
        path.write_bytes(graph.numpy().tobytes())


def prepare(path: Path, *, small: bool = False) -> None:
    """Write the file: the simulated data set, the shipped models, one fine-tuned and exported."""
    from genoslim import __version__, simulate_data

    variants = 400 if small else VARIANTS
    with tempfile.TemporaryDirectory() as folder:
        simulate_data(folder, variants=variants, window=WINDOW, seed=SEED)
        data = Path(folder) / "dataset.parquet"
        models = {
            family: _entry(family, data, small) for family in FAMILIES[: 1 if small else None]
        }
    content = {
        "format": FORMAT,
        "about": f"genoslim {__version__}, {variants} simulated variants, windows of {WINDOW}",
        "models": models,
        "tuned": _tuned(FAMILIES[0], models[FAMILIES[0]], epochs=1 if small else 4),
    }
    torch.save(content, path)


def _entry(family: str, data: Path, small: bool) -> dict[str, Any]:
    """Return a shipped model, a `small` one of two layers, and the data set in its tokens."""
    from genoslim import read_data
    from genoslim.models import load, load_tokenizer
    from genoslim.models.layers import remove_layers

    model, tokenizer = load(f"shipped:{family}"), load_tokenizer(f"shipped:{family}")
    if small:
        remove_layers(model, range(2, len(model.blocks)))
    labelled = read_data(data)
    heads = model.head
    splits = {}
    for name in SPLITS:
        rows = Labelled.encode(tokenizer, labelled.split(name))
        splits[name] = {
            "ids": rows.tokens.ids,
            "lengths": rows.tokens.lengths,
            "labels": rows.labels,
        }
    weights = {key: value for key, value in model.state_dict().items() if not key.startswith(heads)}
    return {"config": json.dumps(model.config.to_dict()), "weights": weights, "splits": splits}


def _tuned(family: str, entry: Mapping[str, Any], *, epochs: int) -> dict[str, Any]:
    """Fine-tune on the CPU and export; return weights, logits on test and graphs."""
    prepared = Prepared({"models": {family: entry}})
    cpu = torch.device("cpu")
    model = prepared.model(family)
    recipe = Recipe(epochs=epochs, learning_rate=1e-3)
    train, validation, test = (prepared.split(family, name, cpu) for name in SPLITS)
    fine_tune_tokens(model, train, validation, recipe, seed=0)
    logits = torch.from_numpy(predict_tokens(model, test.tokens))
    with tempfile.TemporaryDirectory() as folder:
        graphs, rehearsed = _exported(model, test, Path(folder))
    return {
        "family": family,
        "weights": model.state_dict(),
        "logits": {"fp32": logits, "rehearsed": rehearsed},
        "graphs": graphs,
    }


def _exported(model: Classifier, test: Labelled, folder: Path) -> tuple[dict[str, Tensor], Tensor]:
    """Return the graphs as bytes, uint8 [size], and the logits of the exporter's fp16 rehearsal."""
    from genoslim.bundle.manifest import Target
    from genoslim.bundle.sessions import open_session
    from genoslim.export.precision import convert, rehearse_half
    from genoslim.export.trace import trace

    rehearsal = folder / "rehearsal.onnx"
    for target in get_args(Target):
        exact = folder / f"{target} fp32.onnx"
        trace(model, exact, target=target)
        convert(exact, folder / f"{target} fp16.onnx", "fp16")
    rehearse_half(folder / "cpu fp32.onnx", rehearsal)
    session = open_session(rehearsal, backend="onnxruntime", device="cpu", threads=1)
    logits = torch.empty(len(test.tokens), 2)
    for rows in test.tokens.by_length(1024):
        logits[rows] = torch.from_numpy(session.run(*padded(test.tokens, rows)))
    graphs = {
        file.stem: torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8)
        for file in sorted(folder.glob("* fp*.onnx"))
    }
    return graphs, logits


def padded(tokens: TokenTable, rows: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and mask of some rows, both int64 [b, T], as an exported graph takes them."""
    ids, mask = tokens.batch(rows)
    return ids.numpy(), mask.expand_as(ids).numpy()


def _labelled(ids: Tensor, lengths: Tensor, labels: Tensor, device: torch.device) -> Labelled:
    table = TokenTable(ids, lengths, torch.arange(ids.shape[1])).to(device)
    return Labelled(table, labels.to(device))


def random_rows(rows: int, tokens: int, ids: Tensor, device: torch.device) -> Labelled:
    """Return rows of random ids [rows, tokens], labelled by turns, on the device."""
    wide = padded_length(tokens, multiple=GPU_MULTIPLE)  # as `TokenTable.encode` leaves it
    ids = functional.pad(ids.to(torch.int16), (0, wide - tokens))
    return _labelled(ids, torch.full((rows,), tokens), torch.arange(rows) % 2, device)
