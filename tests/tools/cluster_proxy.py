"""Stands before two servers of ClickHouse as one of a cluster would: speaks TLS, and plays the queue of statements that are for all.

The engine at hand has no Keeper, so it refuses ON CLUSTER and has nothing to replicate by. What says ON CLUSTER is sent to both,
without that and with the plain engine in the place of the replicated one. All else goes to the first, byte for byte.

Usage: cluster_proxy.py PORT CERTIFICATE KEY URL,URL CLUSTER   (prints each statement for all as a line of JSON)
"""

import http.client
import json
import os
import ssl
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, certificate, key, urls, cluster = sys.argv[1:]
servers = [urllib.parse.urlsplit(url).netloc for url in urls.split(",")]
ON_CLUSTER = f" ON CLUSTER `{cluster}`"


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def ask(self, server, body):
        connection = http.client.HTTPConnection(server, timeout=60)
        left_out = ("host", "transfer-encoding", "content-length", "connection")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in left_out}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        return answer, answer.read()

    def do_POST(self):
        body = self.body()
        asked = servers[:1]
        if ON_CLUSTER.encode() in body:
            # One write: several are asked at the same time, each in a thread of its own.
            os.write(1, (json.dumps(body.decode()) + "\n").encode())
            asked = servers
            body = body.replace(ON_CLUSTER.encode(), b"").replace(b"ReplicatedReplacingMergeTree(", b"ReplacingMergeTree(")
        for server in asked:
            answer, content = self.ask(server, body)
            if answer.status != 200:
                break
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "keep-alive"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request, address):
        # In the thread of the connection, so that a slow handshake keeps nobody waiting.
        super().finish_request(context.wrap_socket(request, server_side=True), address)

    def handle_error(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
Server(("127.0.0.1", int(port)), Proxy).serve_forever()
