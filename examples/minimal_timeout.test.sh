program=$1
examples=$2
. "$(dirname "$0")/server.sh"

start "$examples/example_hello_server" 127.0.0.1:0
expect "found" "$("$program" "$url/hello/you" 2>&1)" "Status: 200 OK"
expect "not found" "$("$program" "$url/nothing" 2>&1)" "Status: 404 Not Found"
kill "${servers[0]}"
wait "${servers[0]}"
expect "refused" "$("$program" "$url/hello/you" 2>&1 && echo "exit status 0")" \
  "request failed: GET $url/hello/you : connecting: connection refused"
expect "no URL" "$("$program" "not a URL" 2>&1 && echo "exit status 0")" "request failed: GET not a URL : *"
start_silent
expect "too slow" "$("$program" "$url/" 2>&1 && echo "exit status 0")" \
  "request failed: GET $url/ : waiting for the response: deadline exceeded"
