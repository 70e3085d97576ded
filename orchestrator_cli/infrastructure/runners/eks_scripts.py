"""The shell scripts of a pod's two containers. The image of the tests needs nothing but a shell.

`/output` has what the tests print and their exit code, `/artifacts` the files they leave; the tests
can write anything to both, so neither is trusted. `/execution` belongs to the sidecar, and the
tests can only read it.
"""

from __future__ import annotations

from orchestrator_cli.infrastructure.runners.storing import STORE

# Placeholder: for how many seconds a pod waits for S3 after the tests have ended.
_HOLD_SECONDS = "@HOLD_SECONDS@"

# Runs in the container with the tests; "$@" is their command. As process 1, a shell gets only the
# signals that it has a trap for. Its background processes ignore SIGINT and SIGQUIT, which `env`
# undoes, because tests of Ctrl-C need them.
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
# Processes that the tests left running keep the pipes open. Do not wait for those for ever.
(sleep 10; kill "$out" "$err") >/dev/null 2>&1 &
wait "$out" "$err"
rm -f /output/out /output/err
# Tests that failed after SIGTERM were interrupted, whatever code they chose.
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

# Runs under `orchestrator run` in place of the tests: it prints what they print and ends as they
# do. The tests could replace their logs by a link to a file of the sidecar: the relay opens the
# logs first and then checks what it has opened. A FIFO would block it for ever, so a guard kills
# it after 10 seconds.
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
  # Without a code, the tests were killed with their container. With 126 or 127, they never started.
  '' | *[!0-9]* | 126 | 127 | 137) kill -KILL "$$" ;;
esac
exit "$code"
"""

# Runs in the sidecar. $1 is RELAY, the other arguments are options of `orchestrator run`. The
# kubelet restarts this script whenever it ends, and sends it SIGTERM once the tests have ended.
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
results=/execution/upload.json
if [ -e /execution/done ]; then
  : # Restarted after everything was stored.
elif grep -q '"end": {{' "$spools/$id/run.json" 2>/dev/null; then
  : # Restarted while it was storing: the spool is complete.
else
  rm -rf "$spools"
  work orchestrator run --id "$id" --runner-type eks --artifacts "$artifacts" \\
    --spool "$spools" --no-store-command "$@" -- sh -c "$relay" >/dev/null
fi
# Kubernetes starts the tests once this file exists. They run even if storing has failed.
: >/execution/ready
end=$(($(date +%s) + {_HOLD_SECONDS}))
until [ -e /execution/done ]; do
  store
  code=$?
  case "$code" in
    0) : >/execution/done ;;
    6) report_final; : >/execution/done ;;
    *) if [ "$(date +%s)" -ge "$end" ]; then : >/execution/done; else sleep 10; fi ;;
  esac
done
# Wait for SIGTERM. One that arrives just before the wait is seen five seconds later.
while [ -z "$ended" ]; do
  sleep 5 &
  wait "$!"
done
exit "$code"
"""


def with_hold(script: str, seconds: int) -> str:
    """Return a script that gives up storing `seconds` after the tests have ended."""
    return script.replace(_HOLD_SECONDS, str(seconds))
