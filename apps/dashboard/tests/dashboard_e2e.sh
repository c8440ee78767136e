#!/usr/bin/env bash
# The whole dashboard, with curl as the visitor: what becomes of requests that nobody waits for.
#   dashboard_e2e.sh <path of curfew-dashboard>
set -euo pipefail
program=$(readlink -f "$1")

work=$(mktemp -d)
dashboard=
visitors=()
cleanup() {
  local pid
  for pid in "${visitors[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  [[ -z $dashboard ]] || kill -9 "$dashboard" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

has() { grep "$@" >/dev/null; }  # reads to the end: with -q, the writer could fail
step() { printf '== %s\n' "$*"; }
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  [[ ! -s $work/log ]] || sed 's/^/   log: /' "$work/log" >&2
  exit 1
}

# Files that cost no room on the disk and half a minute to compare: 8 of 4 GiB, all holes.
mkdir "$work/tree"
for i in 1 2 3 4 5 6 7 8; do truncate -s 4G "$work/tree/$i"; done

# The page's view of the requests, asked in Python: `holds 'living("disk") <= 1'`.
cat >"$work/ask.py" <<'PYTHON'
import json, sys, time, urllib.request
url, seconds, expression = sys.argv[1], float(sys.argv[2]), sys.argv[3]
until = time.monotonic() + seconds
while True:
    view = json.load(urllib.request.urlopen(url + "/api/requests", timeout=10))
    service = {s["service"]: s for s in view["services"]}
    counter = lambda name, which: service[name]["counters"][which]
    living = lambda name: counter(name, "living")
    if eval(expression):
        break
    if time.monotonic() > until:
        print(json.dumps({n: s.get("counters", s) for n, s in service.items()}, indent=1), file=sys.stderr)
        sys.exit(1)
    time.sleep(0.02)
PYTHON
# within <seconds> <expression>: it becomes true in that time.
within() { python3 "$work/ask.py" "$url" "$1" "$2" || fail "not within $1 s: $2"; }
panel() { curl -sN --max-time 60 "$url/api/panels/$1"; }
visit() { # in the background; its process id is the last of `visitors`
  curl -sN --max-time 60 -o /dev/null "$url/api/panels/$1" &
  visitors+=($!)
  disown $!  # or the shell tells of its end
}
leave() { # all visitors, at once
  ((${#visitors[@]} == 0)) || kill -9 "${visitors[@]}" 2>/dev/null || true
  visitors=()
}
ignore() {
  curl -s -H 'Content-Type: application/json' -d "{\"on\": $1}" "$url/api/ignore" | has "\"ignoring\":$1" ||
    fail "the switch cannot be set to $1"
}
lives() { # a process that is no zombie
  [[ -r /proc/$1/stat ]] && [[ $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -c1) != [ZX] ]]
}
show() { # of a process that should be gone: what it is, and what its threads wait for
  local thread
  printf '   %s: %s\n' "$1" "$(tr '\0' ' ' <"/proc/$1/cmdline")" >&2
  for thread in "/proc/$1/task/"*; do
    printf '   %s %s, waits in %s\n' "$(<"$thread/comm")" "$(sed -n 's/^State:\t//p' "$thread/status")" \
      "$(<"$thread/wchan")" >&2
  done
}

step 'options that make no sense, and what is not there'
set +e
"$program" --bogus 2>"$work/error"; [[ $? == 2 ]] || fail 'a bad option: exit code'
grep -q 'there is no option --bogus' "$work/error" || fail 'a bad option: message'
"$program" --root "$work/nowhere" 2>"$work/error"; [[ $? == 1 ]] || fail 'a missing directory: exit code'
grep -q "nowhere: No such file or directory" "$work/error" || fail 'a missing directory: message'
set -e
"$program" --help | has -- --source || fail '--help'

step 'starts, and prints its URL'
"$program" --listen 127.0.0.1:0 --root "$work/tree" --source dead=http://127.0.0.1:9/ >"$work/out" 2>"$work/log" &
dashboard=$!
for _ in $(seq 250); do
  url=$(grep -o 'http://[0-9.:]*' "$work/out" || true)
  [[ -z $url ]] || break
  sleep 0.02
done
[[ -n $url ]] || fail 'no URL'
set +e
"$program" --listen "${url#http://}" 2>"$work/error"; [[ $? == 1 ]] || fail 'a port in use: exit code'
set -e
grep -qi 'in use' "$work/error" || fail 'a port in use: message'

step 'fast panels answer, a dead source says so'
curl -s "$url/" | has -i '<!doctype html>' || fail 'the page'
panel vitals | tail -1 | has '"type":"result"' || fail 'vitals'
panel dead | tail -1 | has '"code":"unreachable"' || fail 'the dead source'

step 'pages from elsewhere are refused'
for field in 'Origin: http://evil.example' 'Sec-Fetch-Site: cross-site' 'Host: evil.example'; do
  for path in /api/config /api/panels/vitals /api/requests; do
    status=$(curl -s -o /dev/null -w '%{http_code}' -H "$field" "$url$path")
    [[ $status == 403 || $status == 421 ]] || fail "$field, $path: $status"
  done
done
status=$(curl -s -o /dev/null -w '%{http_code}' -d '{"on": true}' "$url/api/ignore")
[[ $status == 415 ]] || fail "the switch by a form: $status"

step 'a visitor leaves: nothing of the request lives a second later'
visit disk
within 5 'living("disk") == 1'
leave
within 1 'living("disk") == 0 and counter("disk", "ended_by_client") == 1 and not view["tree"]'

step 'ten quick refreshes: the nine old requests die'
for n in 1 2 3 4 5 6 7 8 9 10; do
  leave
  visit vitals
  visit packages
  visit disk
  # Each has to have arrived, or there would be nothing to end.
  within 5 "counter('disk', 'started') == 1 + $n and counter('packages', 'started') == $n"
done
within 1 'all(living(s) <= 1 for s in service) and counter("disk", "ended_by_client") == 1 + 9'
within 1 'counter("packages", "ended_by_client") == 9'
within 1 'counter("vitals", "ended_by_client") + counter("vitals", "answered") + living("vitals") == counter("vitals", "started")'
leave
within 1 'all(living(s) == 0 for s in service)'

step 'the switch on: the dead pile up and burn CPU'
ignore true
for _ in 1 2 3 4 5 6 7 8; do
  visit disk
  sleep 0.1
  leave
done
within 3 'living("disk") > 5 and counter("disk", "ignored") > 5 and view["ignoring"]'
within 5 'counter("disk", "cpu_s_unwanted") > 0.5'
within 1 'len(view["orphans"]) > 5'

step 'each is named, with the line that opened it'
named() { grep -cE 'disk: report "/report" \([0-9a-f]{16}\) was told to stop .* and goes on.*; opened at .*disk\.cpp:[0-9]+$' "$work/log"; }
for _ in $(seq 100); do
  (($(named) <= 5)) || break
  sleep 0.02
done
(($(named) > 5)) || fail 'not all are named in the log'
curl -s "$url/debug/curfew/" | has -i '<!doctype html>' || fail "the front's console"

step 'the switch off: they die'
ignore false
within 2 'living("disk") == 0 and not view["ignoring"]'

step 'a budget of 1 s ends the slow panel; the fast one answers'
slow=$(panel 'disk?budget_ms=1000' | tail -1)
grep -q '"code":"deadline_exceeded"' <<<"$slow" || fail "the slow panel: $slow"
grep -q 'The budget of 1 s is used up; the disk service was told to stop.' <<<"$slow" || fail "the slow panel: $slow"
panel 'vitals?budget_ms=1000' | tail -1 | has '"type":"result"' || fail 'the fast panel'
within 1 'counter("disk", "ended_by_deadline") == 1 and living("disk") == 0'

step 'a service that dies is started again'
for child in $(cat "/proc/$dashboard/task/$dashboard/children"); do
  ! tr '\0' ' ' <"/proc/$child/cmdline" | has 'service disk' || disk=$child
done
kill -9 "$disk"
for _ in $(seq 100); do
  ! panel 'disk?budget_ms=100' | tail -1 | has '"code":"deadline_exceeded"' || break
  sleep 0.02
done
grep -q 'The disk service stopped (killed by signal 9)' "$work/log" || fail 'nothing about it in the log'
visit disk
within 5 'living("disk") == 1'

step 'the dashboard is killed: its services stop, and so do their requests'
children=$(cat "/proc/$dashboard/task/$dashboard/children")
disown "$dashboard"
kill -9 "$dashboard"
for _ in $(seq 100); do
  left=0
  for child in $children; do ! lives "$child" || left=$((left + 1)); done
  ((left)) || break
  sleep 0.02
done
if ((left)); then
  for child in $children; do ! lives "$child" || show "$child" || true; done
  fail "$left services live 2 s after the dashboard was killed"
fi
dashboard=
leave

step 'Ctrl-C stops everything'
"$program" --listen 127.0.0.1:0 --root "$work/tree" >"$work/out" 2>"$work/log" &
dashboard=$!
for _ in $(seq 250); do
  url=$(grep -o 'http://[0-9.:]*' "$work/out" || true)
  [[ -z $url ]] || break
  sleep 0.02
done
visit disk
within 5 'living("disk") == 1'
children=$(cat "/proc/$dashboard/task/$dashboard/children")
kill -TERM "$dashboard"
code=0
wait "$dashboard" || code=$?
dashboard=
((code == 0)) || fail "exit code $code"
for child in $children; do ! lives "$child" || fail 'a service is left'; done
leave

step 'speaks TLS, and reads its certificate again'
certify() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
    -addext subjectAltName=IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/chain.pem" 2>/dev/null
}
certify first
"$program" --listen 127.0.0.1:0 --root "$work/tree" --tls-certificate "$work/chain.pem" --tls-key "$work/key.pem" \
  >"$work/out" 2>"$work/log" &
dashboard=$!
for _ in $(seq 250); do
  url=$(grep -o 'https://[0-9.:]*' "$work/out" || true)
  [[ -z $url ]] || break
  sleep 0.02
done
[[ -n $url ]] || fail 'no URL with https'
trusted() { curl -s --max-time 10 --cacert "$work/chain.pem" "$url/" | grep -i '<!doctype html>' >/dev/null; }
trusted || fail 'the page over TLS'
certify second
! trusted || fail 'a certificate that was not read again'
kill -HUP "$dashboard"
for _ in $(seq 250); do ! trusted || break; sleep 0.02; done
trusted || fail 'the page with the second certificate'
kill -TERM "$dashboard"
code=0
wait "$dashboard" || code=$?
dashboard=
((code == 0)) || fail "exit code $code with TLS"
echo 'all fine'
