program=$1
. "$(dirname "$0")/server.sh"

start "$program" 127.0.0.1:0
expect "the older ones" "$(curl -sS "$url/users?older_than=30")" $'4 user 4\n5 user 5'
curl -sS --max-time 0.3 "$url/slow" 2>/dev/null && exit 1
for ((i = 0; i < 500; i++)); do
  stopped=$(sed -n 2p "$log")
  [[ -n $stopped ]] && break
  sleep 0.01
done
expect "the query that nobody waits for" "$stopped" "with recursive*: canceled (cause: client gone)"
expect "the connection is free again" "$(curl -sS "$url/users?older_than=40")" "5 user 5"
kill "${servers[0]}"
wait "${servers[0]}"  # ends with 0 on SIGTERM
