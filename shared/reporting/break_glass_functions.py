"""The part of restore.sh that is the same for every recovery point."""

from __future__ import annotations

from typing import Final

FUNCTIONS: Final = r"""
AZURE_SAS=${AZURE_SAS:-}
AZURE_SAS=${AZURE_SAS#\?}
STORAGE_URL=${STORAGE_URL%/}
work=${TMPDIR:-/tmp}/octopus-restore.$$

say() { printf '%s\n' "$*"; }

stop() {
    printf 'STOPPED: %s\n' "$*" >&2
    exit 1
}

# need NAME VALUE: a variable of the environment has to be set.
need() { [ -n "$2" ] || stop "$1 is not set; the beginning of this script says what it is."; }

begin() {
    command -v curl >/dev/null || stop "curl is not installed."
    command -v sha256sum >/dev/null || stop "sha256sum is not installed."
    need AZURE_SAS "$AZURE_SAS"
    mkdir -m 700 "$work" || stop "There can be no folder $work; set TMPDIR to one that may be written to."
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

# line NAME VALUE: a line of curl's configuration. What stands there is in no list of processes.
line() { printf '%s = "%s"\n' "$1" "$(printf '%s' "$2" | sed 's/[\\"]/\\&/g')"; }

# fetch PATH BYTES SHA256 FILE: a blob, compared with what was backed up.
fetch() {
    say "  fetching $2 bytes"
    line url "$STORAGE_URL/$1?$AZURE_SAS" | curl --config - --silent --show-error --globoff --fail \
        --retry 5 --retry-delay 3 --connect-timeout 20 --speed-limit 1024 --speed-time 300 --output "$4" ||
        stop "$STORAGE_URL/$1 could not be read: is it there, and is AZURE_SAS right and still valid?"
    [ "$(($(wc -c <"$4")))" = "$2" ] || stop "$1 does not have the $2 bytes that were backed up."
    found=$(sha256sum <"$4")
    [ -z "$3" ] || [ "${found%% *}" = "$3" ] || stop "$1 is not what was backed up: its SHA-256 differs."
}

# ask METHOD ADDRESS [FILE]: one request to Qdrant, with FILE as its body. Leaves $status and $work/answer.
ask() {
    status=$(
        {
            line request "$1"
            line url "$2"
            [ -z "${QDRANT_API_KEY:-}" ] || line header "api-key: $QDRANT_API_KEY"
            [ $# -lt 3 ] || line header 'Content-Type: application/json'
            [ $# -lt 3 ] || line data-binary "@$3"
        } | curl --config - --silent --show-error --globoff --path-as-is --connect-timeout 20 \
            --max-time 86400 --output "$work/answer" --write-out '%{http_code}'
    ) || stop "$2 does not answer."
}

# demand WHAT: the last request has to have gone well.
demand() { [ "$status" = 200 ] || stop "$1: Qdrant answered $status: $(head -c 600 "$work/answer")"; }

# fields: the last answer with one name and value on each line.
fields() { tr ',{}' '\n\n\n' <"$work/answer"; }

# field NAME: the first plain value of that name in the last answer.
field() { fields | sed -n "s/^ *\"$1\": *\"\{0,1\}\([^\"]*\)\"\{0,1\} *\$/\1/p" | head -n 1; }

older() {
    [ "$1" != "$2" ] &&
        [ "$(printf '%s\n%s\n' "$1" "$2" | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1)" = "$1" ]
}

look_at_qdrant() {
    need QDRANT_URLS "${QDRANT_URLS:-}"
    urls= clustered=no peers=0
    for each in $(printf '%s' "$QDRANT_URLS" | tr ',' ' '); do
        urls="$urls ${each%/}"
    done
    for each in $urls; do
        ask GET "$each/"
        demand "$each is no Qdrant"
        version=$(field version)
        ! older "$version" "$made_by" || stop "$each runs Qdrant $version, the snapshots are of $made_by."
        ask GET "$each/cluster"
        demand "QDRANT_API_KEY is not right for $each"
        peer=$(field peer_id)
        [ -z "$peer" ] || clustered=yes
        printf '%s %s\n' "${peer:-0}" "$each" >>"$work/peers"
        peers=$((peers + 1))
    done
    [ "$clustered" = yes ] || [ "$peers" = 1 ] || stop "QDRANT_URLS names $peers servers that are no cluster."
    first=${urls# }
    first=${first%% *}
    same_peers=yes
    for each in $recorded_peers; do
        grep -q "^$each " "$work/peers" || same_peers=no
    done
    ask GET "$first/aliases"
    demand "The aliases cannot be listed"
    cp "$work/answer" "$work/aliases"
}

# address PEER NUMBER: where a snapshot goes: to its own peer, or, where the peers are others, in turn.
address() {
    if [ "$same_peers" = yes ]; then
        sed -n "s/^$1 //p" "$work/peers" | head -n 1
    else
        sed -n "$((($2 - 1) % peers + 1))s/^[0-9]* //p" "$work/peers"
    fi
}

may_be_restored() {
    ! grep -F -q -e "$3" "$work/aliases" ||
        stop "$1 is the name of an alias; the collection behind it would be overwritten. Delete the alias."
    ask GET "$first/collections/$2/exists"
    demand "It cannot be seen whether $1 exists"
    [ "$(field exists)" = false ] || [ "${FORCE:-0}" = 1 ] ||
        stop "The collection $1 exists. Nothing was changed. To overwrite what exists: FORCE=1"
    name=$1
    shift 5
    case "$clustered $* " in
    'no '*' whole '* | 'yes '*) ;;
    *) stop "The shards of $name are in several snapshots: it can only be restored to a cluster." ;;
    esac
}

alias_is_free() {
    ! grep -F -q -e "$2" "$work/aliases" || [ "${FORCE:-0}" = 1 ] ||
        stop "The alias $1 stands for something. Nothing was changed. To move what stands: FORCE=1"
}

restore_collection() {
    name=$1 encoded=$2 least=$4 most=$5
    shift 5
    say "$name"
    while [ $# -gt 0 ]; do
        if [ "$clustered" = yes ] || [ "$6" = whole ]; then
            url=$(address "$1" "$2")
            fetch "$3" "$4" "$5" "$work/snapshot"
            upload "$url" "$5"
            settle
            [ "$clustered" = yes ] || break
        fi
        shift 6
    done
    rm -f "$work/snapshot"
    count_points
}

# upload ADDRESS SHA256: Qdrant takes $work/snapshot. It keeps the file that it was sent, which is deleted.
upload() {
    say "  sending it to $1"
    file=octopus-restore-$2.snapshot
    status=$(
        {
            line url "$1/collections/$encoded/snapshots/upload?priority=snapshot&checksum=$2&wait=true"
            [ -z "${QDRANT_API_KEY:-}" ] || line header "api-key: $QDRANT_API_KEY"
        } | (
            cd "$work" && curl --config - --silent --show-error --globoff --path-as-is \
                --connect-timeout 20 --max-time 86400 \
                --form "snapshot=@snapshot;filename=$file;type=application/octet-stream" \
                --output answer --write-out '%{http_code}'
        )
    ) || stop "$1 did not answer to the snapshot of $name. Look at it before you begin again, with FORCE=1."
    demand "$name was not restored"
    ask DELETE "$1/collections/$encoded/snapshots/$file"
}

# settle: wait until every replica of the collection is active and no shard is on its way.
settle() {
    tries=0
    while busy; do
        tries=$((tries + 1))
        [ "$tries" -lt 900 ] || stop "$name has replicas that are not active after 15 minutes."
        sleep 1
    done
}

busy() {
    for each in $urls; do
        ask GET "$each/collections/$encoded/cluster"
        [ "$status" = 200 ] || return 0
        grep -q '"shard_transfers": *\[\]' "$work/answer" || return 0
        ! fields | grep '"state":' | grep -q -v '"Active"' || return 0
    done
    return 1
}

count_points() {
    printf '{"exact": true}' >"$work/body"
    for each in $urls; do
        ask POST "$each/collections/$encoded/points/count" "$work/body"
        demand "The points of $name cannot be counted"
        count=$(field count)
        say "  $count points on $each"
        if [ "${count:-0}" -lt "$least" ] || [ "${count:-0}" -gt "$most" ]; then
            printf 'WRONG: %s has %s points, it had %s to %s.\n' "$name" "$count" "$least" "$most" >&2
            wrong=$((wrong + 1))
        fi
    done
    restored=$((restored + 1))
}

set_aliases() {
    [ "$aliases" != '{"actions": []}' ] || return 0
    printf '%s' "$aliases" >"$work/body"
    ask POST "$first/collections/aliases" "$work/body"
    demand "The aliases were not set"
    say "The aliases are set."
}

fetch_file() {
    say "$4"
    if [ -f "$BACKUP_DIR/$4" ]; then
        say "  is there already"
        return 0
    fi
    fetch "$1" "$2" "$3" "$BACKUP_DIR/.$4.part"
    chmod a+r "$BACKUP_DIR/.$4.part"
    mv "$BACKUP_DIR/.$4.part" "$BACKUP_DIR/$4"
}
"""
"""What the commands are made of."""

COMMANDS: Final = r"""
case ${1:-} in
vectors)
    begin
    look_at_qdrant
    every_collection may_be_restored
    every_alias alias_is_free
    restored=0 wrong=0
    every_collection restore_collection
    set_aliases
    [ "$wrong" = 0 ] || stop "$restored collection(s) were restored, with $wrong wrong count(s): see above."
    say "Done: $restored collection(s) of recovery point $point."
    ;;
files)
    begin
    need BACKUP_DIR "${BACKUP_DIR:-}"
    mkdir -p "$BACKUP_DIR"
    every_file fetch_file
    say "Done: the files that restore.sql reads are in $BACKUP_DIR."
    ;;
*)
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
"""
"""What the script does with its argument."""
