from __future__ import annotations

from genoslim.bundle.versions import installed_versions


def test_what_is_not_installed_is_left_out() -> None:
    found = installed_versions(["numpy", "no-such-package-anywhere"])
    assert list(found) == ["numpy"]
