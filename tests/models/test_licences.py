"""Licences as the Hugging Face hub takes them, and those that forbid commercial use."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from genoslim.models.licences import hub_licence, is_non_commercial


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("CC-BY-NC-SA-4.0", {"license": "cc-by-nc-sa-4.0"}),
        ("unknown", {"license": "unknown"}),
        ("", {"license": "unknown"}),
        ("Our lab's: ask us", {"license": "other", "license_name": "our-lab-s-ask-us"}),
        ("yes # no", {"license": "other", "license_name": "yes-no"}),
    ],
)
def test_a_licence_is_one_the_hub_knows_or_other_with_a_name(licence, expected):
    found = ModelCard(f"---\n{hub_licence(licence)}\n---\n").data.to_dict()
    assert found == expected


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC-BY-NC-SA-4.0", True),
        ("cc-by-nc-sa-4.0", True),
        ("CC BY NC 4.0", True),
        ("cc_by_nc_nd", True),
        ("CCBYNC4.0", True),
        ("CC0-1.0 and CC-BY-NC-4.0", True),
        ("custom, non-commercial", True),
        ("Noncommercial Licence 1.0", True),
        ("not for commercial use", True),
        ("no commercial use", True),
        ("Apache-2.0", False),
        ("CC-BY-4.0", False),
        ("unknown", False),
        ("", False),
        ("NCSA", False),
        ("commercial use allowed", False),
    ],
)
def test_non_commercial_licences_are_recognised(licence, expected):
    assert is_non_commercial(licence) == expected
