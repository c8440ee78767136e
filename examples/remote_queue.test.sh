program=$1
. "$(dirname "$0")/server.sh"

# says <file> <line>: waits for that line
says() {
  for ((i = 0; i < 1000; i++)); do
    grep -qxF "$2" "$1" && return
    sleep 0.01
  done
  printf 'nobody says "%s":\n%s\n' "$2" "$(cat "$1")" >&2
  exit 1
}

start_redis
start "$program" work "$redis"
first=${servers[-1]} first_log=$log
expect "an answer" "$("$program" ask "$redis" "quick one")" "quick one: done"

"$program" ask "$redis" slow 2>/dev/null &
asks=$!
servers+=("$asks")
says "$first_log" "begins slow (attempt 1)"
kill -TERM "$asks"
says "$first_log" "stops slow (SIGTERM)"

"$program" ask "$redis" other 2>/dev/null &
servers+=($!)
asks=$!
says "$first_log" "begins other (attempt 1)"
kill -KILL "$first"
start "$program" work "$redis"
says "$log" "begins other (attempt 2)"
kill -KILL "$asks"
says "$log" "stops other (the origin is lost)"
