program=$1
. "$(dirname "$0")/server.sh"

start_redis
start "$program" "$redis" 127.0.0.1:0
expect "the first" "$(curl -sS "$url/report?of=sales")" "the report on sales"
expect "the second" "$(curl -sS "$url/report?of=sales")" "the report on sales (kept)"
expect "another" "$(curl -sS "$url/report?of=costs")" "the report on costs"
kill -STOP "${servers[0]}"
expect "without its cache" "$(curl -sS "$url/report?of=sales" 2>/dev/null)" "the report on sales"
kill -CONT "${servers[0]}"
kill "${servers[1]}"
wait "${servers[1]}"
