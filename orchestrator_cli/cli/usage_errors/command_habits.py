"""Commands of other programs that people type by habit, and ours that do the same."""

from __future__ import annotations

# Commands, with how gh, aws s3, kubectl, restic, rclone, git and shells call them.
_NAMES_ELSEWHERE = {
    "completion": "autocomplete completions generate-shell-completion",
    "config": "configure env settings",
    "cost": "billing du ncdu price size stats",
    "doctor": "account auth health login ping who whoami",
    "download": "checkout clone fetch get pull",
    "finish": "cancel close complete done end kill stop",
    "grep": "ag find rg search",
    "lifecycle": "del delete forget gc prune purge remove rm unlink",
    "logs": "attach cat dump head less log more tail wait watch wc zcat",
    "ls": "artifact artifacts execution executions files list ps runs snapshots top tree",
    "new": "create init",
    "open": "browse dashboard ui web",
    "run": "exec rerun restart start test",
    "salvage": "recover repair",
    "sandbox": "demo dev local",
    "serve": "server",
    "show": "describe info inspect stat status view",
    "upload": "add backup copy cp move mv push put rsync save store sync",
    "url": "link presign share sign",
    "verify": "check compare diff fsck md5sum sha256sum",
}
COMMAND_HABITS = {
    typed: command for command, names in _NAMES_ELSEWHERE.items() for typed in names.split()
}
# What no command does, and what does.
_LABELS = "labels are given when an execution is made: `orchestrator new --label K=V`"
_BUCKETS = "buckets are made and removed with AWS's tools; `orchestrator sandbox` has one to try"
_MANUAL = "`orchestrator help COMMAND`, and `man orchestrator`"
_PIP = "`pip install --upgrade orchestrator-cli` installs and upgrades this program"
_LOCKS = "nothing is ever locked; the same command again resumes"
_RULES = "`orchestrator lifecycle plan` and `apply` are for the rules of the bucket"
COMMAND_ADVICE = {
    "annotate": _LABELS,
    "apply": _RULES,
    "commands": _MANUAL,
    "docs": _MANUAL,
    "edit": _LABELS,
    "examples": _MANUAL,
    "explain": _MANUAL,
    "install": _PIP,
    "label": _LABELS,
    "lock": _LOCKS,
    "logout": "credentials are those of AWS; `orchestrator doctor` tries them",
    "man": _MANUAL,
    "mb": _BUCKETS,
    "mount": "`orchestrator download ID -o DIR` copies what is stored",
    "patch": _LABELS,
    "plan": _RULES,
    "rb": _BUCKETS,
    "tag": _LABELS,
    "tutorial": "`orchestrator sandbox -- bash` is a shell with an S3 to try everything in",
    "unlock": _LOCKS,
    "update": _PIP,
    "upgrade": _PIP,
}
# Commands of a group.
_SUBCOMMANDS_ELSEWHERE = {
    "apply": "put set",
    "check": "validate verify",
    "eks": "k8s kubernetes",
    "github": "gha github-actions",
    "plan": "diff",
    "show": "current-context get get-contexts get-value list ls path status view",
}
SUBCOMMAND_HABITS = {
    typed: command for command, names in _SUBCOMMANDS_ELSEWHERE.items() for typed in names.split()
}
_CONFIG_FILE = 'write it into ~/.config/orchestrator/config.toml, such as: bucket = "B"'
SUBCOMMAND_ADVICE = {
    ("config", "edit"): _CONFIG_FILE,
    ("config", "set"): _CONFIG_FILE,
}
