"""What the two containers of a pod run: shell, so that the image of the tests needs no more.

`/output` is what the tests print and their exit code, `/artifacts` what they leave; both are
written by code that nobody here has read. `/execution` is the sidecar's; the tests only read it.
"""

from __future__ import annotations

from orchestrator_cli.infrastructure.runners.storing import STORE

# How long a pod whose tests have ended waits for S3, once it is asked to go: see the manifest.
_HOLD_SECONDS = "@HOLD_SECONDS@"

# As process 1 a shell takes only signals that it has a trap for, and waits for one child at a time.
# What it starts in the background ignores SIGINT, which tests of Ctrl-C would not like.
TESTS = f"""\
ORCHESTRATOR_EXECUTION_ID=$(cat /execution/id)
export ORCHESTRATOR_EXECUTION_ID
stopped=
if env --default-signal=INT,QUIT true 2>/dev/null; then
  set -- env --default-signal=INT,QUIT sh -c 'exec "$@"' sh "$@"
fi
if ! command -v tee >/dev/null || ! mkfifo /output/out /output/err; then
  echo 'the output of the tests is not stored: this image needs tee and mkfifo' >&2
  exec "$@"
fi
tee /output/stdout.log </output/out &
out=$!
tee /output/stderr.log </output/err >&2 &
err=$!
"$@" >/output/out 2>/output/err &
child=$!
trap 'stopped=yes; kill -TERM "$child" 2>/dev/null' TERM
while wait "$child"; code=$?; kill -0 "$child" 2>/dev/null; do :; done
# What the tests left running holds the pipes; it ends with this container.
(sleep 10; kill "$out" "$err") >/dev/null 2>&1 &
wait "$out" "$err"
rm -f /output/out /output/err
# Tests that were told to stop did not come to their end, whatever they make of it.
if [ -n "$stopped" ] && [ "$code" -ne 0 ]; then code=143; fi
echo "$code" >/output/code.new && mv /output/code.new /output/code
waited=0
while [ -z "$stopped" ] && [ ! -e /execution/done ] && [ "$waited" -lt {_HOLD_SECONDS} ]; do
  sleep 1 &
  wait "$!"
  waited=$((waited + 1))
done
exit "$code"
"""

# Runs under `orchestrator run`, as if it were the tests: prints what they print, ends as they do.
# It opens the logs before the tests can put a link in their place, or sees that they did. A FIFO
# that gets there at the last moment would hold it up for ever: the guard ends it.
RELAY = """\
replaced() {
  echo 'the tests have replaced their logs' >&2
  kill -KILL "$$"
}
(sleep 10; kill -KILL "$$") >/dev/null 2>&1 &
guard=$!
for log in /output/stdout.log /output/stderr.log; do
  dd of="$log" oflag=append,nofollow,nonblock conv=notrunc status=none </dev/null || replaced
done
exec 3</output/stdout.log 4</output/stderr.log
kill "$guard"
if [ "$(readlink /proc/self/fd/3) $(readlink /proc/self/fd/4)" != \
  '/output/stdout.log /output/stderr.log' ]; then replaced; fi
if [ ! -f /proc/self/fd/3 ] || [ ! -f /proc/self/fd/4 ]; then replaced; fi
: >/execution/ready
until [ -f /output/code ] || [ -e /execution/ended ]; do sleep 1; done &
over=$!
tail -n +1 -f --pid="$over" <&3 &
tail -n +1 -f --pid="$over" <&4 >&2 &
wait
code=$(dd if=/output/code iflag=nofollow,nonblock bs=4 count=1 status=none 2>/dev/null)
case "$code" in
  129 | 130 | 131 | 132 | 134 | 135 | 136 | 139 | 141 | 142 | 143) kill -"$((code - 128))" "$$" ;;
  # Without a code they were killed with their container; with these they were never started.
  '' | *[!0-9]* | 126 | 127 | 137) kill -KILL "$$" ;;
esac
exit "$code"
"""

# $1 is RELAY, and what follows are options of `run`. The kubelet starts this again where it ends,
# and sends SIGTERM once the tests have ended: what is written then is whole.
SIDECAR = f"""\
relay=$1
shift
ended=
code=0
trap 'ended=yes; : >/execution/ended' TERM
work() {{
  "$@" &
  pid=$!
  while wait "$pid"; code=$?; kill -0 "$pid" 2>/dev/null; do :; done
  return "$code"
}}
{STORE}if [ ! -s /execution/id ]; then
  orchestrator new --offline >/execution/id.new && mv /execution/id.new /execution/id
fi
id=$(cat /execution/id)
spools=/execution/spool
artifacts=/artifacts
told=/execution/told
if [ -e /execution/done ]; then
  : # Started again with nothing left to do.
elif grep -q '"end": {{' "$spools/$id/run.json" 2>/dev/null; then
  : # Killed while it stored: the spool is whole.
else
  rm -rf "$spools"
  work orchestrator run --id "$id" --runner-type eks --artifacts "$artifacts" \\
    --spool "$spools" --no-store-command "$@" -- sh -c "$relay" >/dev/null
fi
# The tests wait for this; they run whatever has happened here.
: >/execution/ready
end=$(($(date +%s) + {_HOLD_SECONDS}))
until [ -e /execution/done ]; do
  store
  code=$?
  case "$code" in
    0) : >/execution/done ;;
    6) say_final; : >/execution/done ;;
    *) if [ "$(date +%s)" -ge "$end" ]; then : >/execution/done; else sleep 10; fi ;;
  esac
done
# A SIGTERM between the look and the wait is seen by the next look.
while [ -z "$ended" ]; do
  sleep 5 &
  wait "$!"
done
exit "$code"
"""


def with_hold(script: str, seconds: int) -> str:
    """Return a script that gives up so long after the tests have ended."""
    return script.replace(_HOLD_SECONDS, str(seconds))
