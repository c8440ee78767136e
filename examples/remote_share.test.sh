program=$1
. "$(dirname "$0")/server.sh"

if ! command -v redis-server >/dev/null; then
  echo "there is no redis-server"
  [[ -z ${CI:-} ]]
  exit
fi
redis-server --port 0 --unixsocket "$work/redis" --save '' --dir "$work" >"$work/redis.log" &
servers+=($!)
for ((i = 0; i < 1000; i++)); do
  [[ -S $work/redis ]] && break
  sleep 0.01
done
redis="unix://$work/redis?db=0"

# stops_with <signal> <what the worker says>
stops_with() {
  start "$program" origin "$redis"
  local origin=${servers[-1]} ticket=$url
  start "$program" worker "$redis" "$ticket"
  expect "the worker" "$(head -n 1 "$log")" "working"
  kill "-$1" "$origin"
  wait "${servers[-1]}"
  expect "the end by SIG$1" "$(sed -n 2p "$log")" "$2"
}

stops_with TERM "stopped: canceled (cause: SIGTERM)"
stops_with KILL "stopped: canceled (cause: the origin is lost)"
