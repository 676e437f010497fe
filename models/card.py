"""The model card (README.md) that lies in every checkpoint folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .families import detect, family_name
from .licences import hub_licence
from .record import TrainingRecord

CARD_FILE = "README.md"

_CARD = """---
{licence_tag}
library_name: genoslim
tags: [genomics, dna, {family}]
---

# {title}, {depth} {layers}

{origin}

- Family: {family}; blocks kept, counted from 0 in the network as published: {kept}
- Licence of the weights: {licence}
- Training record: {record}

```python
from genoslim import load_model

model = load_model("path/to/this/folder")
```

For research use. Not a medical device, not for diagnosis.
"""


def model_card(config: Mapping[str, Any], training: TrainingRecord | None) -> str:
    """Return the card of a checkpoint with this config.json and training record."""
    family = detect(config)
    made = training or TrainingRecord()
    licence = made.licence or (family.licence if family else "unknown")
    base = made.base_name
    depth = config.get("num_hidden_layers")
    return _CARD.format(
        licence_tag=hub_licence(licence),
        licence=licence,
        family=family_name(config),
        title=family.title if family else config.get("model_type"),
        depth=depth,
        layers="layer" if depth == 1 else "layers",
        kept=", ".join(map(str, config.get("kept_layers", []))),
        origin=f"Made by genoslim from `{base}`." if base else "Made by genoslim.",
        record="`genoslim.json`" if training is not None else "none",
    )
