"""Names of licences: what the Hugging Face hub calls them, and which forbid commercial use."""

from __future__ import annotations

import re

_HUB_LICENCES = """
afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0
cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0
cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0
cc-by-sa-4.0 cc0-1.0 epl-1.0 epl-2.0 gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 mit mpl-2.0
openrail other unknown unlicense
"""
"""The licences that a card on the hub may name, of those that models and data are seen with."""

_NON_COMMERCIAL = re.compile(r"\bNC\b|\bCC\W*BY\W*NC|\bNO[NT]?\W*(FOR\W*)?COMMERCIAL")


def hub_licence(licence: str) -> str:
    """Return the YAML of a licence as the hub takes it: by its own name, or `other` and a name."""
    name = re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-.") or "unknown"
    if name in _HUB_LICENCES.split():
        return f"license: {name}"
    return f"license: other\nlicense_name: {name}"


def is_non_commercial(licence: str) -> bool:
    """Say whether a licence's name forbids commercial use.

    True for `NC` as a word of its own (`CC-BY-NC-4.0`, `CC BY NC 4.0`, `cc_by_nc`) and for "non-",
    "no" or "not for commercial".
    """
    return _NON_COMMERCIAL.search(licence.upper().replace("_", " ")) is not None
