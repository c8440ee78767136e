program=$1
. "$(dirname "$0")/server.sh"

start "$program" 127.0.0.1:0
for ((i = 0; i < 500; i++)); do
  metric=$(curl -sS "$url/metrics" | grep '^curfew_zombies ')
  [[ $metric == "curfew_zombies 2" ]] && break
  sleep 0.01
done
expect "the metric" "$metric" "curfew_zombies 2"
expect "the zombie, by name and line" "$(curl -sS "$url/zombies")" \
  '*"name":"2026-10"*examples/inspect_zombie.cpp*"cause":"deadline exceeded"*'
kill "${servers[0]}"
wait "${servers[0]}"  # ends with 0 on SIGTERM
