#!/usr/bin/env bash
# The short job finishes, the long one is cut off when the grace is over.
set -euo pipefail
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$1" >"$log" &
pid=$!
for ((i = 0; i < 200; i++)); do
  grep -q serving "$log" && break
  sleep 0.05
done
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
for line in 'shutting down: SIGTERM' 'job 1 finished' 'job 2 was cut off: .*(cause: SIGTERM)'; do
  grep -q "$line" "$log" || { echo "not there: $line (status $status)"; cat "$log"; exit 1; }
done
((status == 1))
