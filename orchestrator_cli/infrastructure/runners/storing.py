"""The shell by which a sidecar and an instance's unit store the rest and decide on retries.

This is POSIX shell. It takes `$id`, `$spools` and `$artifacts`, writes to `$told`, and starts
programs by a function `work`.
"""

from __future__ import annotations

# By exit codes alone: see EXIT STATUS of orchestrator-run(1) and orchestrator-upload(1).
STORE = """\
has_status() { orchestrator show "$id" --json | grep -q "\\"artifact_status\\": *\\"$1\\""; }
say_final() { echo 'no further try can store the rest; the record says what it is' >&2; }
# Ends with 0 where all is stored, with 6 where no further try can help, else as what may pass did.
store() {
  left=0
  for run in "$spools"/*/; do
    if [ ! -d "$run" ]; then continue; fi
    work orchestrator run --resume "$run"
    code=$?
    case "$code" in
      0) ;;
      2 | 6) left=6 ;;
      *) return "$code" ;;
    esac
  done
  if has_status complete; then return "$left"; fi
  work orchestrator upload "$id" "$artifacts" --if-no-files-found ignore --json >"$told"
  code=$?
  case "$code" in
    0)
      code=1
      if has_status complete; then code=$left; elif has_status artifact_error; then code=6; fi
      ;;
    2) code=6 ;;
    # A file's own code is S3's, or it is about the file or its name, which do not change any more.
    3) if ! grep -q '"exit_code": *[4579]' "$told"; then code=6; fi ;;
  esac
  return "$code"
}
"""
