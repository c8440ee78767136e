# For the tests of examples that need servers: source it.
#
#   start <program> [arguments]    starts a server that prints its URL on its first line; sets url; its output is $log
#   start_silent                   starts a server that takes connections and never answers
#   start_redis                    starts a Redis; sets redis to its URL
#   expect <what> <actual> <wanted pattern>

set -euo pipefail
servers=()
work=$(mktemp -d)
trap 'kill "${servers[@]}" 2>/dev/null || true; wait; rm -rf "$work"' EXIT

start() {
  log=$work/${#servers[@]}
  : >"$log"
  "$@" >>"$log" &
  servers+=($!)
  for ((i = 0; i < 1000; i++)); do
    url=$(head -n 1 "$log")
    [[ -n $url ]] && return
    sleep 0.01
  done
  echo "no server: $*" >&2
  exit 1
}

start_silent() {
  start python3 -c 'import socket, time
s = socket.create_server(("127.0.0.1", 0))
print("http://127.0.0.1:%d" % s.getsockname()[1], flush=True)
time.sleep(60)'
}

expect() {
  # shellcheck disable=SC2053 # a pattern
  [[ $2 == $3 ]] && return
  printf '%s: expected "%s", got "%s"\n' "$1" "$3" "$2" >&2
  exit 1
}

start_redis() {
  if ! command -v redis-server >/dev/null; then
    echo "there is no redis-server"
    [[ -z ${CI:-} ]]
    exit
  fi
  redis-server --port 0 --unixsocket "$work/redis" --save '' --dir "$work" >"$work/redis.log" &
  servers+=($!)
  redis="unix://$work/redis?db=0"
  for ((i = 0; i < 1000; i++)); do
    [[ -S $work/redis ]] && return
    sleep 0.01
  done
  echo "redis-server does not start" >&2
  exit 1
}
