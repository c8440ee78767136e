program=$1
examples=$2
. "$(dirname "$0")/server.sh"

start "$examples/example_hello_server" 127.0.0.1:0
hello=$url
hello_log=$log

start "$program" "$hello/hello/you" 127.0.0.1:0
expect "success" "$(curl -sS -w ' %{http_code}' "$url/fetch")" "Success: HTTP/1.1 200 OK 200"

# Not hello_server's /slow: that has the same three seconds, because the deadline travels, and may answer 503 first.
start_silent
start "$program" "$url/" 127.0.0.1:0
expect "too slow" "$(curl -sS -w ' %{http_code}' "$url/fetch")" \
  "request canceled or timed out: deadline exceeded 504"

# The client goes away: the request to the other server ends too, long before the three seconds.
start "$program" "$hello/slow" 127.0.0.1:0
curl -sS --max-time 0.2 "$url/fetch" 2>/dev/null && exit 1
stopped=
for ((i = 0; i < 200; i++)); do
  stopped=$(sed -n 2p "$hello_log")
  [[ -n $stopped ]] && break
  sleep 0.01
done
expect "what the other server saw" "$stopped" "slow: stopped, client gone"

kill "${servers[0]}"
wait "${servers[0]}"
start "$program" "$hello/hello/you" 127.0.0.1:0
expect "nobody there" "$(curl -sS -w ' %{http_code}' "$url/fetch")" "request error 502"
