#!/usr/bin/env bash
# curfew, the program, with real programs to look at, and tmux as the terminal.
#   program_e2e.sh <curfew> <example_inspect_zombie> <curfew-inspected>
set -euo pipefail
curfew=$(readlink -f "$1") zombie=$(readlink -f "$2") inspected=$(readlink -f "$3")
if ! command -v tmux >/dev/null; then
  [[ -z ${CI:-} ]] || { echo 'tmux is missing'; exit 1; }
  exit 77  # skipped
fi
export LC_ALL=C.UTF-8
unset TMUX CURFEW_TOKEN NO_COLOR

work=$(mktemp -d)
export TMUX_TMPDIR=$work
screen=(tmux -L "curfew-$$" -f /dev/null)
programs=()
cleanup() {
  local pid
  "${screen[@]}" kill-server 2>/dev/null || true
  for pid in "${programs[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

step() { printf '== %s\n' "$*"; }
shown() { "${screen[@]}" capture-pane -p 2>/dev/null || true; }
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  if "${screen[@]}" has-session 2>/dev/null; then shown | sed 's/^/   screen: /' >&2; fi
  for log in "$work"/*.log; do [[ ! -s $log ]] || sed "s|^|   ${log##*/}: |" "$log" >&2; done
  exit 1
}
# within_time <what> <command…>: it succeeds before a minute is over.
within_time() {
  local what=$1 until=$((SECONDS + 60))
  shift
  while ! "$@"; do
    ((SECONDS < until)) || fail "not within a minute: $what"
    sleep 0.05
  done
}
sees() { grep -qE -- "$1" <<<"$(shown)"; }
sees_not() { ! sees "$1"; }
on_screen() { within_time "on the screen: $1" sees "$1"; }
off_screen() { within_time "gone from the screen: $1" sees_not "$1"; }
press() { "${screen[@]}" send-keys "$@"; }
has() { grep -qE -- "$1" <<<"$2" || fail "no \"$1\" in: $2"; }
has_not() { ! grep -qE -- "$1" <<<"$2" || fail "\"$1\" in: $2"; }
status_of() { # <status> <command…>; what it says is in `said`
  local wanted=$1 got=0
  shift
  said=$("$@" 2>&1) || got=$?
  ((got == wanted)) || fail "$* exits with $got, not $wanted: $said"
}
start() { # <name> <command…>; its process id is in `pid`
  local name=$1
  shift
  "$@" >"$work/$name.out" 2>"$work/$name.log" &
  pid=$!
  programs+=("$pid")
  disown "$pid"  # or the shell tells of its end
}
printed() { [[ -s $work/$1.out ]]; }

start shop "$zombie" 127.0.0.1:0 sesame
within_time 'the address of the shop' printed shop
shop=$(head -1 "$work/shop.out")
disk=unix:$work/disk.sock
start disk "$inspected" "$disk"
disk_pid=$pid
within_time 'the address of the disk' printed disk
start front "$inspected" "unix:$work/front.sock" "$(head -1 "$work/disk.out")"
front=unix:$work/front.sock

step 'ls: zombies first, as trees, and its exit status'
zombies_are_two() { [[ $("$curfew" ls --state zombie "$shop" | grep -c ' zombie ') == 2 ]]; }
within_time 'two zombies' zombies_are_two
status_of 0 "$curfew" ls "$shop"
has '^ID +STATE' "$said"
has 'zombie .*request GET /report' "$(sed -n 2p <<<"$said")"
has 'zombie .*└─add up 2026-10 .*inspect_zombie.cpp' "$(sed -n 3p <<<"$said")"
status_of 3 "$curfew" ls --check --state zombie "$shop"
status_of 0 "$curfew" ls --check --kind none "$shop"
status_of 1 "$curfew" ls http://127.0.0.1:9
has 'connection refused; does the program run' "$said"
status_of 1 "$curfew" ls "unix:$work/nothing.sock"
has 'nothing.sock: No such file' "$said"
status_of 2 "$curfew" ls
status_of 2 "$curfew" list "$shop"
status_of 0 "$curfew" --version
"$curfew" ls --json --limit 1 "$shop" 2>/dev/null | python3 -c 'import json, sys; assert json.load(sys.stdin)["matching"] >= 3' ||
  fail 'ls --json'

step 'show: the way down, the cause, the stack'
id=$("$curfew" ls --kind 'add up' "$shop" | awk '/2026-10/{print $1}')
status_of 0 "$curfew" show --stack "$id" "$front" "$shop"
has 'Told to stop +deadline exceeded' "$said"
has 'trace id +7f3a' "$said"
has '  request GET /report +zombie' "$said"
has '> └─add up 2026-10' "$said"
has 'Thread [0-9]+, at add up 2026-10' "$said"
has '#0 ' "$said"

step 'show: who has the lock'
waiting=$("$curfew" ls --name entries "$shop" | awk '/entries/{print $1}')
status_of 0 "$curfew" show "$waiting" "$shop"
has "Waits for +lock on $id" "$said"

step 'cancel: with the token alone'
id=$("$curfew" ls --name import "$shop" | awk '/import/{print $1}')
status_of 1 "$curfew" cancel "$id" --why stuck "$shop"
has 'a token is needed' "$said"
echo wrong >"$work/token"
status_of 1 "$curfew" cancel "$id" --why stuck --token-file "$work/token" "$shop"
has 'the token is missing or wrong' "$said"
echo sesame >"$work/token"
status_of 0 "$curfew" cancel "$id" --why stuck --token-file "$work/token" "$front" "$shop"
has 'ended: request POST /import' "$said"
is_over() { ! "$curfew" show "$id" "$shop" >"$work/show.out" 2>&1; }
within_time 'the end of the import' is_over
has 'canceled: operator: stuck' "$(cat "$work/show.out")"
has 'the task is over' "$(cat "$work/show.out")"

step 'two processes are one tree, at Unix sockets; a name steers no terminal'
joined() { "$curfew" ls "$front" "$disk" >"$work/ls.out" 2>"$work/ls.err" && grep -q 'in disk' "$work/ls.out"; }
within_time 'the work in the disk' joined
tree=$(sed -n '/errand in front/,$p' "$work/ls.out")
has 'errand in front' "$(sed -n 1p <<<"$tree")"
has '└─http call' "$(sed -n 2p <<<"$tree")"
has '  └─http request' "$(sed -n 3p <<<"$tree")"
has '    └─work .x1b.0;owned.x07.x1b.2Jin disk' "$(sed -n 4p <<<"$tree")"
has_not $'\x1b' "$tree"
id=$(sed -n 4p <<<"$tree" | awk '{print $1}')
status_of 0 "$curfew" show "$id" "$disk" "$front"
has 'errand in front' "$said"
status_of 0 "$curfew" ls --kind work "$disk" "$front"
has 'errand in front' "$(sed -n 2p <<<"$said")"  # the way down, though it lives elsewhere
said=$(LC_ALL=C "$curfew" ls "$front" "$disk")
has '`-http call' "$said"
! LC_ALL=C grep -qP '[^\x20-\x7e]' <<<"$said" || fail "a locale without UTF-8: $said"

step 'top: zombies on top, one tree, no title of another'
"${screen[@]}" new-session -d -x 120 -y 24 'exec bash --norc --noprofile -i'
title=$("${screen[@]}" display-message -p '#{pane_title}')
press "'$curfew' top --token-file '$work/token' '$shop' '$front' '$disk'; echo status=\$?" Enter
on_screen '^3 processes: 2 zombies'
on_screen '^zombie .*└─add up 2026-10'
on_screen '    └─work .x1b.0;owned'
has '^zombie' "$(shown | grep -A1 '^STATE' | tail -1)"
[[ $("${screen[@]}" display-message -p '#{pane_title}') == "$title" ]] || fail 'the title of the terminal has changed'

step 'top: filter, the page of a task with its stack, help'
press F4
press -l 'add up'
on_screen 'Filter: add up'
off_screen 'errand in front'
press Enter Down Enter
on_screen 'Told to stop +deadline exceeded'
press s
on_screen 'Thread [0-9]+, at add up'
press q
on_screen 'filter: add up'
press F4
press Escape
on_screen 'errand in front'
press F1
on_screen 'was told to stop longer ago'
press x
on_screen 'errand in front'

step 'top: ends a task with a reason'
press /
press -l 'to be ended'
press Enter F9
on_screen 'Why end errand to be ended'
press -l 'by hand'
press Enter
on_screen 'ended: errand to be ended'
off_screen 'errand to be ended  '

step 'top: a console that dies is away, and comes back by itself'
kill -9 "$disk_pid"
on_screen '3 processes, 1 away'
on_screen 'away: unix:.*connection (refused|lost|failed)|away: .*closed'
off_screen 'work .x1b'
rm -f "$work/disk.out"
start disk "$inspected" "$disk"
on_screen '^3 processes: '

step 'top: any size of the screen'
press Home
"${screen[@]}" resize-window -x 40 -y 10
on_screen '^Z .* request GET /report$'
has '^F1Help' "$(shown | tail -1)"
"${screen[@]}" resize-window -x 12 -y 2
on_screen '^Z '
"${screen[@]}" resize-window -x 80 -y 24
on_screen '^F1Help'
press ' '
on_screen 'paused'

step 'top: leaves the terminal as it was'
sane() {
  press 'clear; stty -a | grep -oE " -?(icanon|echo) " | tr -d "\n"; echo :' Enter
  on_screen 'icanon +echo +:|echo +icanon +:'
}
press C-z
on_screen 'Stopped'
sane
press fg Enter
on_screen '^F1Help'
press C-c
off_screen '^F1Help'
sane
for signal in TERM HUP; do
  press "clear; '$curfew' top '$shop'; echo status=\$?" Enter
  on_screen '^F1Help'
  pane=$("${screen[@]}" display-message -p '#{pane_pid}')
  kill -"$signal" "$(cat "/proc/$pane/task/$pane/children" | awk '{print $1}')"
  on_screen 'status=0'
  sane
done
press "clear; TERM=vt100 LC_ALL=C '$curfew' top '$shop'; echo status=\$?" Enter
on_screen '^Z .*`-add up 2026-10'
press q
on_screen 'status=0'
sane
press "clear; TERM=nothing '$curfew' top '$shop'; echo status=\$?" Enter
on_screen 'terminal is not known: TERM=nothing'
on_screen 'status=1'
status_of 1 "$curfew" top "$shop"
has 'top needs a terminal' "$said"
echo 'all fine'
