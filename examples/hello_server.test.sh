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

# systemd passes a socket as descriptor 3.
start python3 -c 'import os, socket, sys
s = socket.create_server(("127.0.0.1", 0))
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="web")
os.execv(sys.argv[1], [sys.argv[1], "systemd:web"])' "$program"
expect "greeting by systemd's socket" "$(curl -sS "$url/hello/you")" "Hello, you!"
