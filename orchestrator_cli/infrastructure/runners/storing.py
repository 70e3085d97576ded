"""Shell functions that store the output of tests after they have ended; runs on EC2 and EKS.

POSIX shell. The script around it sets `$id`, `$spools`, `$artifacts` and `$results` (a file to
write to), and defines `work`, a function that runs a command in the foreground.
"""

from __future__ import annotations

# The exit codes are those under EXIT STATUS of orchestrator-run(1) and orchestrator-upload(1).
STORE = """\
has_status() { orchestrator show "$id" --json | grep -q "\\"artifact_status\\": *\\"$1\\""; }
report_final() {
  echo 'the rest cannot be stored, and no retry can help; the record lists it under failures' >&2
}
# Stores the spooled logs, then the artifacts. Returns 0 if everything is stored, 6 if a retry
# cannot help, and any other code if a retry may help.
store() {
  final=0
  for spool in "$spools"/*/; do
    if [ ! -d "$spool" ]; then continue; fi
    work orchestrator run --resume "$spool"
    code=$?
    case "$code" in
      0) ;;
      2 | 6) final=6 ;;
      *) return "$code" ;;
    esac
  done
  if has_status complete; then return "$final"; fi
  work orchestrator upload "$id" "$artifacts" --if-no-files-found ignore --json >"$results"
  code=$?
  case "$code" in
    0)
      code=1
      if has_status complete; then code=$final; elif has_status artifact_error; then code=6; fi
      ;;
    2) code=6 ;;
    # Some files failed: for good, if only because of what they are or how they are named.
    3) if ! grep -q '"retry_may_help": *true' "$results"; then code=6; fi ;;
  esac
  return "$code"
}
"""
