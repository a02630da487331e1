"""What is kept beside a plan: the list of erased users, and the text of a migration script."""

from __future__ import annotations

import hashlib

import pytest

from shared.blob import download
from shared.blob.storage import Storage
from shared.catalogue import Catalogue
from shared.errors import AlreadyExistsError, NotFoundError

TEXT = "SELECT 'é';\nGO\n"


def test_the_erased_users_are_kept_in_their_order(catalogue: Catalogue) -> None:
    catalogue.plans.save_erasures("plan-1", ["b", "a", "é"])
    assert catalogue.plans.erasures("plan-1") == ("b", "a", "é")
    with pytest.raises(AlreadyExistsError):
        catalogue.plans.save_erasures("plan-1", ["c"])


def test_a_list_that_is_gone_says_so_and_names_nobody(catalogue: Catalogue) -> None:
    with pytest.raises(NotFoundError) as gone:
        catalogue.plans.erasures("plan-2")
    assert gone.value.specific_code == "erasure_list_gone"


def test_a_script_is_kept_with_its_hash_and_never_replaced(catalogue: Catalogue, storage: Storage) -> None:
    ref = catalogue.plans.save_script("plan-1", TEXT)
    assert ref.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert b"".join(download.read(storage, ref)) == TEXT.encode()
    assert catalogue.plans.save_script("plan-1", TEXT) == ref
    with pytest.raises(AlreadyExistsError):
        catalogue.plans.save_script("plan-1", "DROP TABLE x;")
