"""The model card (README.md) that lies in every checkpoint folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .families import detect, family_name

CARD_FILE = "README.md"

_HUB_LICENCES = """
afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0
cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0
cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0
cc-by-sa-4.0 cc0-1.0 epl-1.0 epl-2.0 gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 mit mpl-2.0
openrail other unknown unlicense
"""
"""The licences that a card on the hub may name, of those that models and data are seen with."""

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
from genoslim import models

model = models.load("path/to/this/folder")
tokenizer = models.load_tokenizer("path/to/this/folder")
```

For research use. Not a medical device, not for diagnosis.
"""


def hub_licence(licence: str) -> str:
    """Return the YAML of a licence as the hub takes it: by its own name, or `other` and a name."""
    name = re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-.") or "unknown"
    if name in _HUB_LICENCES.split():
        return f"license: {name}"
    return f"license: other\nlicense_name: {name}"


def model_card(config: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """Return the card of a checkpoint with this config.json and training record."""
    family = detect(config)
    licence = str(training.get("licence") or (family.licence if family else "unknown"))
    base = training.get("base_model")
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
        record="`genoslim.json`" if training else "none",
    )
