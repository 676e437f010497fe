"""What lies beside the graph in a bundle for other libraries to read: tokenizer and config."""

from __future__ import annotations

from pathlib import Path

from ..data.dataset import LabelledData
from ..files import write_json
from ..models.classifier import Classifier
from ..models.families import FAMILIES
from ..models.tokenizer import SequenceTokenizer

_FOREIGN_KEYS = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")


def write_companions(
    model: Classifier, tokenizer: SequenceTokenizer, data: LabelledData, folder: Path
) -> None:
    """Write the tokenizer's files and a `config.json` that transformers reads without genoslim."""
    names = dict(enumerate(data.metadata.label_names))
    config = model.config.to_dict()
    for key in _FOREIGN_KEYS:
        config.pop(key, None)
    config |= {
        "id2label": {str(label): name for label, name in names.items()},
        "label2id": {name: label for label, name in names.items()},
        "pad_token_id": tokenizer.pad_id,
        "problem_type": "single_label_classification",
    }
    if model.family in FAMILIES:
        model_type = FAMILIES[model.family].nearest_type
        config |= {
            "model_type": model_type,
            "architectures": [f"{model_type.title()}ForSequenceClassification"],
        }
    write_json(folder / "config.json", config)
    tokenizer.save(folder)
