"""Where the nodes of a graph run, by what ONNX Runtime's own profile of a session says.

A provider takes the nodes that it has kernels for, and leaves the rest to the CPU, one by one, with
copies in between: CUDA has no product of uint8 and int8, which is what int8 bundles consist of.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..errors import GenoslimError, in_a_line
from .onnx_runtime import CPU

__all__ = ["Placement", "products_on_cpu", "profiled", "profiling"]

Placement = Mapping[tuple[str, str], int]
"""How many nodes ran, by operator and provider."""

_PRODUCTS = ("MatMul", "Gemm", "Attention")
"""What is in the names of the operators that take the time of a network, fused ones too."""


@contextmanager
def profiling(options: Any) -> Iterator[None]:
    """Have a session that is made in the body with `options` write its profile; then forget it.

    GenoslimError where there is no place to write it.
    """
    try:
        temporary = TemporaryDirectory(prefix="genoslim-")
    except OSError as error:
        raise GenoslimError(f"no place for a session's profile: {in_a_line(error)}") from error
    with temporary as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "session")
        yield


def profiled(session: Any) -> Placement:
    """End the profiling of a session, and return where the nodes of its runs were.

    GenoslimError for a profile that is not there or not whole, as on a full disk.
    """
    path = Path(session.end_profiling())
    try:
        events = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GenoslimError(f"{path}: a session's profile is not whole ({error})") from error
    ran = (event["args"] for event in events if event.get("cat") == "Node")
    return Counter((node["op_name"], node["provider"]) for node in ran if "provider" in node)


def products_on_cpu(placement: Placement) -> str:
    """Say how many products of a network ran on the CPU; empty where all did elsewhere."""
    products = {
        key: count for key, count in placement.items() if any(p in key[0] for p in _PRODUCTS)
    }
    fallen = {name: count for (name, provider), count in products.items() if provider == CPU}
    names = ", ".join(sorted(fallen))
    return f"{sum(fallen.values())} of {sum(products.values())} ({names})" if fallen else ""
