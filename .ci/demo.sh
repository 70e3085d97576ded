#!/usr/bin/env bash
# A tour of the commands with the output of a real test run. Run it inside a sandbox:
#
#   orchestrator sandbox -- bash .ci/demo.sh
#
# Every command is shown as it is run, and its exit code is checked.
set -euo pipefail

if [[ -z ${ORCHESTRATOR_BUCKET:-} ]]; then
  echo 'error: no bucket; run it as: orchestrator sandbox -- bash .ci/demo.sh' >&2
  exit 2
fi

# One stream, so that notes and results keep their order in a CI log too.
exec 2>&1
unset PYTEST_ADDOPTS

bold='' dim='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi
number=0

# step TITLE: begin a numbered step.
step() {
  number=$((number + 1))
  printf '\n%s%d. %s%s\n' "$bold" "$number" "$1" "$plain"
}

# show COMMAND…: print a command as one would type it.
show() {
  printf '%s$%s' "$dim" "$plain"
  printf ' %q' "$@"
  printf '\n'
}

# ends_with CODE COMMAND…: run a command that must end with this exit code.
ends_with() {
  local expected=$1 code=0
  shift
  "$@" || code=$?
  if [[ $code -ne $expected ]]; then
    printf 'error: exit %d, but the tour expects %d\n' "$code" "$expected" >&2
    exit 1
  fi
}

# run COMMAND…: show a command and run it; it must succeed.
run() {
  show "$@"
  ends_with 0 "$@"
}

work=$(mktemp -d)
server=
# What ends with the tour: the pages, and the files it made.
clean_up() {
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null && wait "$server" || true
  fi
  rm -rf "$work"
}
trap clean_up EXIT
cd "$work"

step 'A real test run: pytest, with a log, results and a screenshot. One test fails.'
mkdir -p out/screenshots
cat >chart.py <<'PYTHON'
"""Draw a series of percentages as a small PNG, for the record of a bench test."""

import struct
import zlib


def write_chart(path, percentages, scale=16):
    """Write one bar for each value, 100 pixels at most."""
    width, height = len(percentages) * scale, 100
    rows = (
        b"\0" + b"".join((b"\x2a" if height - y <= p else b"\xe6") * scale for p in percentages)
        for y in range(height)
    )
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"".join(rows))),
        (b"IEND", b""),
    ]
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in chunks:
            crc = zlib.crc32(kind + data)
            file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc))
PYTHON
cat >test_door.py <<'PYTHON'
"""A small bench test: does a door open within its time, and what did it look like?"""

import logging

import pytest
from chart import write_chart

log = logging.getLogger("door")
POSITIONS = [0, 4, 17, 38, 61, 79, 88, 91, 91, 91]  # percent, one every 100 ms


@pytest.mark.parametrize("at", range(1, len(POSITIONS)))
def test_it_never_closes_again(at):
    log.info("position %d %%", POSITIONS[at])
    assert POSITIONS[at] >= POSITIONS[at - 1]


def test_it_opens_fully():
    write_chart("out/screenshots/door.png", POSITIONS)
    log.warning("stopped at %d %%", POSITIONS[-1])
    assert POSITIONS[-1] == 100
PYTHON
cat >summarize.py <<'PYTHON'
"""Turn JUnit XML on standard input into JSON on standard output."""

import json
import sys
import xml.etree.ElementTree as xml

cases = list(xml.parse(sys.stdin).iter("testcase"))
failed = [case.get("name") for case in cases if case.find("failure") is not None]
print(json.dumps({"tests": len(cases), "failures": len(failed), "failed": failed}))
PYTHON
test_run=(python -m)
has_coverage=$(python -c 'import coverage' 2>/dev/null && echo yes || echo no)
if [[ $has_coverage == yes ]]; then
  test_run+=(coverage run -m)
fi
test_run+=(pytest -p no:cacheprovider --color yes --log-cli-level INFO --junitxml out/junit.xml)
show "${test_run[@]}"
ends_with 1 "${test_run[@]}" >out/stdout.log
tail -n 1 out/stdout.log
if [[ $has_coverage == yes ]]; then
  run python -m coverage xml -q -o out/coverage.xml
fi
python summarize.py <out/junit.xml >out/results.json
run find out -type f

step 'An execution: one ULID, under which everything is kept.'
show orchestrator new --suite door --label branch=main
ID=$(orchestrator new --suite door --label branch=main)
echo "$ID"

step 'Upload the directory. Each file finds its place in the layout.'
run orchestrator upload "$ID" out

step 'Finish: the manifest, the result, a line in the history.'
run orchestrator finish "$ID" --result fail

step 'What ran, and what it left behind.'
run orchestrator ls --result fail
run orchestrator ls "$ID"

step 'The end of the log, coloured as it was written; only that much is fetched.'
run orchestrator logs "$ID" --tail 5

step 'A link for someone with no credentials, and a fetch through it.'
show orchestrator url "$ID" artifacts/results.json
url=$(orchestrator url "$ID" artifacts/results.json)
echo "${url%%\?*}?…"
if command -v curl >/dev/null; then
  fetch=(curl --fail --silent --show-error --noproxy 127.0.0.1)
else
  fetch=(python -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode(), end="")')
fi
show "${fetch[0]}" '…'
"${fetch[@]}" "$url" | tee fetched.json
cmp fetched.json out/results.json

step 'Is everything stored as it is here? Then the local files may go.'
run orchestrator verify "$ID" out

step 'The same upload again: everything is identical, nothing is sent.'
run orchestrator upload "$ID" out

step 'A file that changed: stored files are immutable, so this is refused with exit 6.'
cp out/results.json as-uploaded.json
echo '{"tests": 10, "failures": 0, "failed": []}' >out/results.json
show orchestrator upload "$ID" out
ends_with 6 orchestrator upload "$ID" out
echo 'exit 6'

step 'And what was stored is still there, byte for byte.'
run orchestrator download "$ID" artifacts/results.json --output back
run cmp as-uploaded.json back/artifacts/results.json
run orchestrator verify "$ID" --read

step 'All of that in one command: new, both streams while they come, the results, finish.'
show orchestrator run --suite quick -- python -c 'print("hello from the bench")'
ends_with 0 orchestrator run --suite quick -- python -c 'print("hello from the bench")'
run orchestrator logs @latest stdout.log

step 'A slow test, followed by a process that sees only the bucket. Then its machine dies.'
cat >slow.py <<'PYTHON'
"""A test that says something five times a second and never ends."""

import itertools
import time

for number in itertools.count(1):
    print(f"{number / 5:.1f} s: the door is at {number % 100} %", flush=True)
    time.sleep(0.2)
PYTHON
ID=$(orchestrator new --suite slow)
show orchestrator run --id "$ID" -- python slow.py
orchestrator run --id "$ID" --spool spool -- python slow.py >/dev/null 2>&1 &
machine=$!
disown "$machine"
show orchestrator logs -f "$ID" stdout --gone-after 4s
: >followed.log
# Standard error is a file: where it is a terminal, somebody watches, and it never gives up.
orchestrator logs -f "$ID" stdout --gone-after 4s >followed.log 2>followed.err &
follower=$!
while kill -0 "$follower" 2>/dev/null && (($(wc -l <followed.log) < 10)); do
  sleep 0.1
done
# The command, and the process that stores what it says.
parts=$(cat "/proc/$machine/task/$machine/children" 2>/dev/null || pgrep -P "$machine")
show kill -KILL …
# shellcheck disable=SC2086 # several
kill -KILL "$machine" $parts
ends_with 3 wait "$follower"
tail -n 2 followed.log
cat followed.err
echo 'exit 3'

step 'Nobody will end that log. What was seen of it is kept, and the record says where it ends.'
run orchestrator salvage "$ID" --older-than 3s
show orchestrator logs "$ID" stdout
orchestrator logs "$ID" stdout | cmp - followed.log
run orchestrator ls --suite slow

step 'What a bench without credentials left on a shared disk: stored, compared, then removed there.'
raw=efs/bench-07/01H00000000000000000000000/raw
mkdir -p "$raw"
echo 'voltage 3.3' >"$raw/bench.log"
run orchestrator sync-efs --root efs --settle 0s --log-settle 0s --retain 0s
run orchestrator logs 01H00000000000000000000000 bench.log

step 'The same for people who look in a browser: the log, the screenshot, every file.'
show orchestrator serve
: >serve.log  # There before anyone looks into it.
orchestrator serve --port 0 2>serve.log &
server=$!
until grep -q '^serving on ' serve.log; do
  kill -0 "$server" || { cat serve.log; exit 1; }
  sleep 0.1
done
read -r _ _ address _ <serve.log
run orchestrator --ui-url "$address" url @latest:suite=door --ui
if [[ -t 0 && -t 1 ]]; then
  read -r -t 60 -p 'Open it, within a minute; Enter goes on. ' || echo
fi

printf '\n%sThat was the tour.%s To go on by hand: orchestrator sandbox -- bash\n' "$bold" "$plain"
