"""Write the published JSON Schemas anew: docs/schemas/.

python tools/schemas.py
"""

from __future__ import annotations

from pathlib import Path

from genoslim.bench.schema import bench_schema
from genoslim.files import write_json

SCHEMAS = Path(__file__).resolve().parents[1] / "docs" / "schemas"

if __name__ == "__main__":
    write_json(SCHEMAS / "bench.schema.json", bench_schema())
    print(SCHEMAS / "bench.schema.json")
