#!/usr/bin/env bash
# It drains; and it dies on SIGINT, with the signal as the cause.
set -euo pipefail
drained=$("$1")
[[ $drained == $'running\nsum of squares: 333833500' ]] || { echo "drained: $drained"; exit 1; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$1" forever >"$log" &
pid=$!
for ((i = 0; i < 200; i++)); do
  grep -q running "$log" && break
  sleep 0.05
done
kill -INT "$pid"
status=0
wait "$pid" || status=$?
grep -q 'stopped: .*canceled (cause: SIGINT)' "$log" && ((status == 1)) || { echo "status $status:"; cat "$log"; exit 1; }
