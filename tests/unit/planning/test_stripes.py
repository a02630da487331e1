"""Whether a backup's files are all there."""

from __future__ import annotations

import pytest

from shared.model.backups import BlobRef
from shared.planning.stripes import Seen, flaw, lost


def stripe(number: int) -> BlobRef:
    return BlobRef(container="data", name=f"sql/full-{number:02}.bak", size=10, etag=f"e{number}")


def seen(*files: BlobRef) -> dict[str, Seen]:
    return {f"{file.container}/{file.name}": Seen(file.size, file.etag, None) for file in files}


THREE = [stripe(1), stripe(2), stripe(3)]


def test_a_backup_whose_stripes_are_all_there_has_no_flaw() -> None:
    assert flaw(THREE, seen(*THREE)) is None
    assert flaw(THREE[:1], seen(*THREE)) is None


def test_a_stripe_that_is_gone_or_was_written_anew_is_a_flaw() -> None:
    assert lost(THREE, seen(*THREE[1:])) == ("data/sql/full-01.bak",)
    assert flaw(THREE, seen(*THREE[1:])) == (
        "1 of 3 file(s) of it are gone or were written anew, such as data/sql/full-01.bak"
    )
    for changed in ({"size": 11}, {"etag": "other"}):
        other = THREE[0].model_copy(update=changed)
        assert "written anew" in (flaw(THREE[:1], seen(other)) or "")


@pytest.mark.parametrize(("numbers", "missing"), [((1, 3), "2"), ((2,), "1"), ((4, 2), "1, 3")])
def test_a_manifest_that_lacks_a_stripe_is_a_flaw(numbers: tuple[int, ...], missing: str) -> None:
    files = [stripe(number) for number in numbers]
    assert flaw(files, seen(*files)) == f"its manifest lacks stripe {missing}"


def test_a_manifest_without_files_is_a_flaw() -> None:
    assert flaw([], {}) == "its manifest names no file"


def test_names_that_somebody_else_gave_tell_no_numbers() -> None:
    files = [BlobRef(container="data", name=f"theirs/{name}.bak", size=1, etag="e") for name in "ab"]
    assert flaw(files, seen(*files)) is None
