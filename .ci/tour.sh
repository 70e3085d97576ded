#!/usr/bin/env bash
# What the picture in README.md shows. Run it inside a sandbox: `make tour` does.
set -euo pipefail

# show COMMAND: print a command line as one would type it, and run it.
show() {
  printf '\e[32m$\e[0m \e[1m%s\e[0m\n' "$1"
  eval "$1" || true
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p results/screenshots
echo '{"passed": 41, "failed": 1}' >results/results.json
printf 'step 1\nstep 2\n\e[31mERROR: no answer\e[0m\n' >results/stdout.log
head -c 20000000 /dev/zero >results/capture.pcap
head -c 5000 /dev/zero >results/screenshots/last.png

show 'export ORCHESTRATOR_EXECUTION_ID=$(orchestrator new --suite smoke)'
show 'orchestrator upload results/'
show 'orchestrator upload results/   # again: nothing is sent'
show 'orchestrator finish --result fail'
show 'orchestrator ls @latest'
show 'orchestrator logs --grep ERROR'
show 'orchestrator grep "no answer" --since 1h'
show 'orchestrator verify'
