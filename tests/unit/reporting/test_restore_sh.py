"""restore.sh, run with ``sh`` and ``curl`` against servers that answer as Qdrant and Blob Storage do."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.model.backups import Kind
from shared.reporting.break_glass import GlassFile, restore_sh
from shared.reporting.break_glass_shell import quoted
from tests.unit.reporting.break_glass_scene import SAS, Cluster, Ended, Scene, scene
from tests.unit.reporting.glass import POINT_ID, around, backup, collection, database, exact, glass

HOSTILE = [
    "a'b",
    "$(touch /tmp/never)",
    "`id`",
    'a"b\\',
    "a b;c&d|e",
    "ü☃",
    "a\nb",
    "-n",
    "*",
    "..",
    "%2e%00",
    "#",
    "$HOME",
    " whole ",
]


@pytest.fixture
def single(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path, Cluster()) as made:
        yield made


def test_a_collection_goes_back_with_priority_checksum_and_alias_and_is_counted(single: Scene) -> None:
    made = glass(collections=(collection("agent_1", aliases=("live",)),))
    single.backups.hold(made)
    ended = single.run(made)
    assert ended.code == 0, ended.err
    checksum = made.collections[0].snapshots[0].checksum
    action = {"create_alias": {"alias_name": "live", "collection_name": "agent_1"}}
    assert single.cluster.events == [
        "upload agent_1 to 0",
        f"priority=snapshot&checksum={checksum}&wait=true",
        "deleted the file",
        "aliases " + json.dumps({"actions": [action]}),
    ]
    assert "Done: 1 collection(s)" in ended.out


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_but_a_name(single: Scene, name: str) -> None:
    made = glass(
        name=name, collections=(collection(name, aliases=(f"alias {name}",)),), left_out={name: name}
    )
    single.backups.hold(made)
    ended = single.run(made)
    assert ended.code == 0, ended.err
    assert single.cluster.there == {name}
    assert single.cluster.events[0] == f"upload {name} to 0"
    (actions,) = [event for event in single.cluster.events if event.startswith("aliases ")]
    assert json.loads(actions.removeprefix("aliases "))["actions"][0]["create_alias"] == {
        "alias_name": f"alias {name}",
        "collection_name": name,
    }
    assert not Path("/tmp/never").exists()


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=20
    )
)
def test_any_text_is_a_word_for_the_shell(tmp_path: Path, texts: list[str]) -> None:
    script = tmp_path / "words"
    words = " ".join(quoted(text) for text in texts)
    script.write_bytes(f"printf '%s\\0' {words}\n".encode())
    said = subprocess.run(["sh", str(script)], capture_output=True, timeout=10, check=True).stdout
    assert said.decode().split("\0")[:-1] == texts


def test_in_a_cluster_each_peer_gets_its_own_snapshot_one_after_the_other(tmp_path: Path) -> None:
    made = glass(collections=(collection("agent_1", peers=(33, 11, 22)),))
    with scene(tmp_path, Cluster(ids=(11, 22, 33))) as three:
        three.backups.hold(made)
        ended = three.run(made)
        assert ended.code == 0, ended.err
        uploads = [event for event in three.cluster.events if event.startswith("upload")]
        assert uploads == [f"upload agent_1 to {number}" for number in (2, 0, 1)]
        assert ended.out.count("20 points on") == 3


def test_on_other_peers_the_snapshots_go_round(tmp_path: Path) -> None:
    made = glass(collections=(collection("agent_1", peers=(1, 2, 3)),))
    with scene(tmp_path, Cluster(ids=(88, 99))) as two:
        two.backups.hold(made)
        ended = two.run(made)
        assert ended.code == 0, ended.err
        uploads = [event for event in two.cluster.events if event.startswith("upload")]
        assert uploads == [f"upload agent_1 to {number}" for number in (0, 1, 0)]


def test_a_single_server_takes_the_one_snapshot_that_holds_every_shard(single: Scene) -> None:
    split = collection("agent_1", peers=(1, 2))
    whole = replace(split, snapshots=(split.snapshots[0], replace(split.snapshots[1], whole=True)))
    made = glass(collections=(whole,))
    single.backups.hold(made)
    assert single.run(made).code == 0
    assert split.snapshots[1].checksum in single.cluster.events[1]
    assert len([event for event in single.cluster.events if event.startswith("upload")]) == 1


def stopped(ended: Ended, words: str, scene: Scene, *, untouched: bool = True) -> None:
    assert ended.code == 1, ended
    assert ended.err.splitlines()[-1].startswith("STOPPED: "), ended.err
    assert words in ended.err, ended.err
    assert (scene.cluster.events == []) == untouched


def test_what_exists_is_not_overwritten_unless_forced_and_nothing_is_changed_before_all_is_seen(
    single: Scene,
) -> None:
    made = glass(collections=(collection("agent_1"), collection("agent_2")))
    single.backups.hold(made)
    single.cluster.there.add("agent_2")
    stopped(single.run(made), "agent_2 exists", single)
    assert single.run(made, FORCE="1").code == 0
    assert single.cluster.there == {"agent_1", "agent_2"}


def test_the_name_of_an_alias_is_never_restored_over(single: Scene) -> None:
    made = glass(collections=(collection('agent ü"1'),))
    single.backups.hold(made)
    single.cluster.aliases['agent ü"1'] = "another"
    stopped(single.run(made, FORCE="1"), "is the name of an alias", single)


def test_an_alias_that_stands_for_something_is_not_moved_unless_forced(single: Scene) -> None:
    made = glass(collections=(collection("agent_1", aliases=("live",)),))
    single.backups.hold(made)
    single.cluster.aliases["live"] = "another"
    stopped(single.run(made), "live stands for something", single)
    assert single.run(made, FORCE="1").code == 0


def test_shards_in_several_snapshots_need_a_cluster(single: Scene) -> None:
    made = glass(collections=(collection("agent_1", peers=(1, 2)),))
    single.backups.hold(made)
    stopped(single.run(made), "only be restored to a cluster", single)


def test_an_older_qdrant_is_refused(single: Scene) -> None:
    made = glass(versions=("1.9.3", "1.19.0"))
    single.backups.hold(made)
    for version in ("1.16.3", "1.9.9", "0.99.0"):
        single.cluster.version = version
        stopped(single.run(made), f"runs Qdrant {version}", single)
    for version in ("1.19.0", "1.19.1", "1.100.0", "2.0.0"):
        single.cluster.version = version
        single.cluster.there.clear()
        assert single.run(made).code == 0


def test_bytes_that_are_not_those_that_were_backed_up_are_not_sent(single: Scene) -> None:
    made = glass()
    single.backups.hold(made)
    path, data = next(iter(single.backups.files.items()))
    single.backups.files[path] = b"X" + data[1:]
    stopped(single.run(made), "SHA-256 differs", single)
    single.backups.files[path] = data[:-1]
    stopped(single.run(made), "bytes that were backed up", single)
    del single.backups.files[path]
    stopped(single.run(made), "could not be read", single)


def test_a_wrong_count_is_an_error_at_the_end_and_an_approximate_one_has_its_interval(single: Scene) -> None:
    made = glass(collections=(collection("agent_1", around(15, 25)), collection("agent_2", exact(21))))
    single.backups.hold(made)
    ended = single.run(made)
    stopped_with = "WRONG: agent_2 has 20 points, it had 21 to 21."
    assert ended.code == 1
    assert stopped_with in ended.err
    assert "agent_1 has" not in ended.err
    assert single.cluster.there == {"agent_1", "agent_2"}


@pytest.mark.parametrize(
    ("unset", "words"),
    [("AZURE_SAS", "AZURE_SAS is not set"), ("QDRANT_URLS", "QDRANT_URLS is not set")],
)
def test_what_is_not_set_is_named(single: Scene, unset: str, words: str) -> None:
    stopped(single.run(glass(), **{unset: ""}), words, single)


def test_a_wrong_key_or_sas_is_told_without_either(single: Scene) -> None:
    made = glass()
    single.backups.hold(made)
    stopped(single.run(made, QDRANT_API_KEY="wrong"), "QDRANT_API_KEY is not right", single)
    stopped(single.run(made, AZURE_SAS="sv=wrong"), "AZURE_SAS right and still valid", single)
    assert single.run(made, AZURE_SAS=f"?{SAS}").code == 0, "a question mark that was copied, too, is no harm"


def test_without_a_command_it_says_what_it_is_and_does_nothing(single: Scene) -> None:
    ended = single.run(glass(), command="")
    assert ended.code == 2
    for word in (POINT_ID, "before v7", "AZURE_SAS", "QDRANT_URLS", "sh restore.sh vectors", "FORCE=1"):
        assert word in ended.out
    assert single.cluster.events == []


def test_an_incomplete_point_says_so_at_its_top_with_its_reasons_and_what_is_left_out() -> None:
    text = restore_sh(
        glass(
            complete=False,
            reasons=("agent_2 on peer 11: it failed.",),
            left_out={"agent_3": "its agent was deleted"},
        )
    )
    beginning = text[: text.index("set -euf")]
    assert "# THIS POINT IS INCOMPLETE:" in beginning
    assert "agent_2 on peer 11: it failed." in beginning
    assert "Not restored: agent_3: its agent was deleted" in beginning


def test_a_point_without_collections_has_nothing_to_restore(single: Scene) -> None:
    ended = single.run(glass(collections=(), versions=()))
    assert ended.code == 0, ended.err
    assert "Done: 0 collection(s)" in ended.out


def test_backups_are_fetched_into_a_folder_checked_and_not_twice(single: Scene) -> None:
    full = backup(Kind.FULL, 1)
    data = b"a full backup"
    path = full.files[0].path
    full = replace(full, files=(GlassFile(path, len(data), None),))
    made = glass(databases=(database(medium="disk", backups=(full,)),))
    single.backups.files[path] = data
    folder = single.folder / "with spaces"
    for _ in range(2):
        ended = single.run(made, "files", BACKUP_DIR=str(folder))
        assert ended.code == 0, ended.err
    assert [one.name for one in folder.iterdir()] == [f"{POINT_ID}-1-001-full-01.bak"]
    assert (folder / f"{POINT_ID}-1-001-full-01.bak").read_bytes() == data
    assert len([seen for seen in single.blobs.seen if path in seen.path]) == 1
    stopped(single.run(made, "files"), "BACKUP_DIR is not set", single)


def test_it_is_a_script_for_any_posix_shell() -> None:
    """At least for those that are here: each reads it to its end and finds nothing to complain about."""
    shells = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
    assert shells
    for shell in shells:
        words = [shell, "sh", "-n"] if shell == "busybox" else [shell, "-n"]
        checked = subprocess.run(
            words, input=restore_sh(glass()), capture_output=True, text=True, timeout=10, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")
