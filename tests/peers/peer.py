"""The tests' peer in Python.

python3 peer.py call <keep|upload|print|cancel> <url>   calls a server
python3 peer.py serve                                   serves HTTP/1.0; says its port, then what happens in "/wait"

It trusts what SSL_CERT_FILE says, and serves https where TLS_CHAIN and TLS_KEY name files.
"""

import http.client
import http.server
import os
import socket
import ssl
import sys
import urllib.parse
import urllib.request

BODY = "".join(f"{i}\n" for i in range(40_000)).encode()
STREAMED = [f"piece {i}\n".encode() for i in range(100)]


def check(holds, what):
    if not holds:
        print("does not hold:", what)
        sys.exit(1)


def call(what, url):
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=30)

    def ask(method, **more):
        connection.request(method, parts.path, **more)
        return connection.getresponse().read()

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    if what == "keep":
        first = ask("GET")
        check(all(ask("GET") == first for _ in range(3)), "the connection is the same")
        check(opener.open(url, timeout=30).read() != first, "urllib makes its own")  # and asks to close it
    elif what == "upload":
        check(ask("POST", body=BODY) == BODY, "the body with a length comes back")
        chunks = (BODY[at : at + 10_000] for at in range(0, len(BODY), 10_000))
        check(ask("POST", body=chunks, encode_chunked=True) == BODY, "the body in chunks comes back")
        check(opener.open(url, data=BODY, timeout=30).read() == BODY, "urllib's body comes back")
    elif what == "print":
        text = ask("GET")
        check(opener.open(url, timeout=30).read() == text, "urllib gets the same")
        sys.stdout.buffer.write(text)
        return
    else:
        connection.request("GET", parts.path)
        sys.stdin.readline()
        connection.close()
    print("ok", flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    """HTTP/1.0, as this class does by default: each answer ends with its connection."""

    def answer(self, pieces):
        self.send_response(200)
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)

    def do_GET(self):
        if self.path == "/remote":
            self.answer([str(self.client_address[1]).encode()])
        elif self.path == "/stream":
            self.answer(STREAMED)
        else:
            if self.path == "/hold":
                self.answer([b"first piece\n"])
                self.wfile.flush()
            print("waiting", flush=True)
            try:
                seen = self.connection.recv(1)
            except ConnectionResetError:
                seen = b""
            print("gone" if seen == b"" else "more", flush=True)
            self.close_connection = True

    def do_POST(self):
        self.answer([self.rfile.read(int(self.headers["Content-Length"]))])

    def finish(self):
        super().finish()
        if isinstance(self.connection, ssl.SSLSocket):
            try:
                self.connection.unwrap()  # which socketserver leaves out: the end would look like a cut
            except OSError:
                pass

    def log_message(self, *_):
        pass


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if "TLS_CHAIN" in os.environ:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.environ["TLS_CHAIN"], os.environ["TLS_KEY"])
        # The handshake is the handler's: a client that takes its time keeps nobody else waiting.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if sys.argv[1] == "serve":
    serve()
else:
    call(*sys.argv[2:])
