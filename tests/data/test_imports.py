from __future__ import annotations

import subprocess
import sys

WITHOUT_PYARROW = "import sys; sys.modules['pyarrow'] = None; "


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_PYARROW + code], capture_output=True, text=True, check=False
    )


def test_windows_and_vcf_need_the_base_install_alone() -> None:
    done = run("import genoslim.data.variant, genoslim.data.genome, genoslim.data.vcf")
    assert done.returncode == 0, done.stderr


def test_data_sets_name_the_extra_they_need() -> None:
    done = run("import genoslim.data.dataset")
    assert "needs pyarrow: pip install '.[parquet]' in a checkout" in done.stderr
