"""The process of one model: `python -m genoslim.bench.worker`, spoken to in lines of JSON.

A request is {"call": name, "with": {arguments}}; the first one opens the model. A reply is
{"value": ...} or {"error": line, "exit_code": 1 to 3}. Replies go to what was standard output when
the process began; whatever a library prints there goes to standard error instead.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from typing import Any

from ..errors import GenoslimError
from .meter import Meter

OPEN = "open"
CALLS = ("describe", "first", "warm_up", "latency", "throughput", "end_to_end", "memory", "logits")


def serve(requests: Iterable[str]) -> Iterator[str]:
    """Yield a reply for each request, until the requests end."""
    with ExitStack() as stack:
        meters: list[Meter] = []
        for line in requests:
            yield _reply(json.loads(line), meters, stack)


def _reply(request: dict[str, Any], meters: list[Meter], stack: ExitStack) -> str:
    try:
        if request["call"] == OPEN:
            meters.append(stack.enter_context(closing(Meter(**request["with"]))))
            return json.dumps({"value": None})
        return json.dumps({"value": _answer(meters, request)}, allow_nan=False)
    except GenoslimError as error:
        return json.dumps({"error": str(error), "exit_code": error.exit_code})
    except Exception as error:
        traceback.print_exc()
        return json.dumps({"error": f"{type(error).__name__}: {error}", "exit_code": 1})


def _answer(meters: list[Meter], request: dict[str, Any]) -> Any:
    if not meters or request["call"] not in CALLS:
        raise GenoslimError(f"worker: call {request['call']!r} is unknown, or no model is open")
    return getattr(meters[-1], request["call"])(**request["with"])


def main() -> None:
    """Serve standard input until it ends."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as replies:
        os.dup2(2, 1)
        for reply in serve(sys.stdin):
            replies.write(reply + "\n")
            replies.flush()


if __name__ == "__main__":
    main()
