program=$1
. "$(dirname "$0")/server.sh"

start "$program" 127.0.0.1:0
expect "greeting" "$(curl -sS "$url/hello/you")" "Hello, you!"
curl -sS --max-time 0.2 "$url/slow" 2>/dev/null && exit 1
for ((i = 0; i < 500; i++)); do
  stopped=$(sed -n 2p "$log")
  [[ -n $stopped ]] && break
  sleep 0.01
done
expect "the client gone" "$stopped" "slow: stopped, client gone"
kill "${servers[0]}"
wait "${servers[0]}"  # ends with 0 on SIGTERM
