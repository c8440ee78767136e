program=$1
examples=$2
. "$(dirname "$0")/server.sh"

start "$examples/example_hello_server" 127.0.0.1:0
hello=$url
hello_log=$log

start "$program" "$hello/hello/you" 127.0.0.1:0
expect "success" "$(curl -sS -w ' %{http_code}' "$url/fetch")" "Success: HTTP/1.1 200 OK 200"

start "$program" "$hello/slow" 127.0.0.1:0
# The other server has the same three seconds, because the deadline travels: its word may come first.
expect "too slow" "$(curl -sS -w ' %{http_code}' "$url/fetch")" \
  "@(request canceled or timed out: deadline exceeded 504|Success: HTTP/1.1 503 Service Unavailable 200)"
# The client goes away: the request to the other server ends too, long before the three seconds.
curl -sS --max-time 0.2 "$url/fetch" 2>/dev/null && exit 1
for ((i = 0; i < 100; i++)); do
  stopped=$(grep -c '^slow: stopped' "$hello_log" || true)
  ((stopped == 2)) && break
  sleep 0.01
done
expect "requests that the other server saw the end of" "$stopped" 2

kill "${servers[0]}"
wait "${servers[0]}"
start "$program" "$hello/hello/you" 127.0.0.1:0
expect "nobody there" "$(curl -sS -w ' %{http_code}' "$url/fetch")" "request error 502"
