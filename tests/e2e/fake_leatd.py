"""A leatd made of canned answers, on a Unix socket: what the command sends and shows can be tested
without a daemon. Answers are keyed by "METHOD /path" (without the query)."""
import http.server
import json
import os
import socketserver
import threading
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def address_string(self):
        return "client"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        path, _, query = self.path.partition("?")
        request = {"method": self.command, "path": path, "query": dict(urllib.parse.parse_qsl(query)),
                   "body": json.loads(body) if body else None, "headers": dict(self.headers)}
        self.server.fake.requests.append(request)
        reply = self.server.fake.answers.get(f"{self.command} {path}")
        if reply is None:
            reply = (404, {"type": "about:blank", "title": "Not found", "status": 404,
                           "detail": f"there is no {path}", "code": "not-found"})
        if callable(reply):
            reply = reply(self, request)
        if reply is not None:
            self.send(*reply)

    do_GET = do_POST = do_DELETE = answer

    def send(self, status, value, kind="application/json"):
        data = value if isinstance(value, bytes) else b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def start_stream(self, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data):
        """An empty chunk ends the stream."""
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def cut(self):
        """As if leatd was killed in the middle of an answer."""
        self.close_connection = True
        self.connection.shutdown(2)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 16

    def handle_error(self, request, client_address):
        pass  # the command hung up: often just what is tested


class FakeLeatd:
    def __init__(self, folder):
        self.socket = os.path.join(folder, "leatd.sock")
        self.answers = {}
        self.requests = []
        self.server = Server(self.socket, Handler)
        self.server.fake = self
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def sent(self, method, path):
        return [r for r in self.requests if r["method"] == method and r["path"] == path]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        os.unlink(self.socket)
