program=$1
. "$(dirname "$0")/server.sh"

certify() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
    -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -keyout "$work/key.pem" -out "$work/chain.pem" 2>/dev/null
}
certify first
start "$program" "$work/chain.pem" "$work/key.pem" 127.0.0.1:0
expect "its URL" "$url" "https://127.0.0.1:*"
expect "greeting" "$(curl -sS --cacert "$work/chain.pem" "$url/hello/you")" "Hello, you!"

certify second
curl -sS --cacert "$work/chain.pem" "$url/hello/you" 2>/dev/null && exit 1  # the server has the first one still
kill -HUP "${servers[0]}"
for ((i = 0; i < 500; i++)); do
  read_again=$(sed -n 2p "$log")
  [[ -n $read_again ]] && break
  sleep 0.01
done
expect "what it says" "$read_again" "certificates read again"
expect "greeting with the second" "$(curl -sS --cacert "$work/chain.pem" "$url/hello/you")" "Hello, you!"
expect "plain HTTP" "$(curl -sS "http${url#https}/hello/you")" "400 Bad Request: this port speaks https://"
kill "${servers[0]}"
wait "${servers[0]}"  # ends with 0 on SIGTERM
