"""Tries, as anybody on the machine could, to get something out of the embedded engines without their secrets.

Prints {"attempts": n, "succeeded": [what worked]}. Usage: intrude.py --data DIR
"""

import argparse
import asyncio
import json
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request

import nats

import engines

QUERIES = [
    "SELECT 1",
    "SELECT * FROM hooklog.webhook_events",
    "SELECT * FROM file('/etc/passwd', 'LineAsString', 'l String')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString', 'l String')",
    "INSERT INTO FUNCTION file('x.txt', 'LineAsString', 'l String') VALUES ('x')",
    "CREATE TABLE default.t (n UInt8) ENGINE = Memory",
    "SYSTEM STOP LISTEN HTTP",
    "SYSTEM SHUTDOWN",
    "SYSTEM KILL",
    "KILL QUERY WHERE 1 SYNC",
    "SELECT sleepEachRow(1) FROM system.numbers SETTINGS max_block_size = 1",
    "SHOW DATABASES",
    "SELECT * FROM system.users",
]
attempts, succeeded = 0, []


def tried(what, worked):
    global attempts
    attempts += 1
    if worked:
        succeeded.append(what)


def http(url, query, user=None, headers=(), by_post=True):
    """Status and text of a query; 0 where there was no answer."""
    address = f"{url}/?" + urllib.parse.urlencode(({"user": user} if user else {}) | ({} if by_post else {"query": query}))
    request = urllib.request.Request(address, data=query.encode() if by_post else None, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=3) as answer:
            return answer.status, answer.read(2000).decode(errors="replace")
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read(2000).decode(errors="replace")
    except (OSError, TimeoutError):
        return 0, ""


def intrude_clickhouse(found):
    url = found["url"]
    for query in QUERIES:
        for user in (None, "default", found["user"], found["reader"]):
            for by_post in (True, False):
                status, _ = http(url, query, user, by_post=by_post)
                tried(f"ClickHouse answered {status} to {user}: {query}", 200 <= status < 300)
    for token in ("", "x", "0" * 64, found["token"][:-1], found["token"].upper() + "x"):
        status, _ = http(url, "SELECT 1", "default", [("X-Hooklog-Token", token)])
        tried(f"ClickHouse let in the token {token!r}", 200 <= status < 300)
    # With the token, but without a password: it is that of our users which counts. `default`, as which the engine runs its
    # own last statement, has none and may do nothing of use; stopping the listener is all it could, with the token.
    with_token = [("X-Hooklog-Token", found["token"])]
    for user in ("default", found["user"], found["reader"]):
        for query in QUERIES[1:]:
            if user == "default" and query.startswith(("SYSTEM STOP", "SELECT sleep", "SHOW")):
                continue
            status, text = http(url, query, user, with_token)
            tried(f"ClickHouse answered {status} to {user} with the token: {query}", 200 <= status < 300 and text.strip() != "")
    # With token and password: the reader reads our tables, and neither user leaves the database.
    for user, password in ((found["reader"], found["readerPassword"]), (found["user"], found["password"])):
        allowed = [*with_token, ("X-ClickHouse-Key", password), ("X-ClickHouse-User", user)]
        status, text = http(url, "SELECT count() FROM hooklog.webhook_events", None, allowed)
        if status != 200:
            sys.exit(f"{user} can't read: {status} {text}")
        beyond = [query for query in QUERIES if any(word in query for word in ("file(", "url(", "SYSTEM", "default.t"))]
        if user == found["reader"]:
            beyond += ["DROP VIEW hooklog.webhook_events", "CREATE TABLE hooklog.t (n UInt8) ENGINE = Memory", "KILL QUERY WHERE 1"]
        for query in beyond:
            status, _ = http(url, query, None, allowed)
            tried(f"{user} was allowed: {query}", 200 <= status < 300)
    for path in ("/replicas_status", "/play", "/dashboard", "/binary", "/merges", "/metrics"):
        try:
            with urllib.request.urlopen(url + path, timeout=3) as answer:
                tried(f"ClickHouse serves {path}", answer.status == 200)
        except (urllib.error.URLError, OSError):
            tried(path, False)


async def intrude_nats(found):
    for options in ({}, {"token": ""}, {"token": "x"}, {"user": "admin", "password": "admin"}, {"token": found["token"][:-1]}):
        refused = []

        async def note(error):
            refused.append(error)

        try:
            connection = await nats.connect(
                found["url"], allow_reconnect=False, connect_timeout=3, error_cb=note, **options
            )
            try:
                await connection.publish("hooklog.v1.default.github.push._._._", b"forged")
                await connection.flush(timeout=3)
                tried(f"NATS let in {sorted(options)}", not refused)
            finally:
                await connection.close()
        except Exception:  # noqa: BLE001 whatever kept it out is fine
            tried("nats", False)
    # Without a client library, too: a bare line on the socket.
    url = urllib.parse.urlsplit(found["url"])
    with socket.create_connection((url.hostname, url.port), timeout=3) as raw:
        raw.sendall(b'CONNECT {"verbose":true,"pedantic":false}\r\nPUB hooklog.v1.x 1\r\nx\r\nPING\r\n')
        text = b""
        try:
            while piece := raw.recv(4096):
                text += piece
        except OSError:
            pass
        tried("NATS answered a bare PING", b"PONG" in text)


def listeners_elsewhere(found):
    """Nothing listens on any address but loopback."""
    for engine in ("nats", "clickhouse"):
        port = urllib.parse.urlsplit(found[engine]["url"]).port
        for address in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}:
            if address.startswith("127."):
                continue
            try:
                socket.create_connection((address, port), timeout=2).close()
                tried(f"{engine} listens on {address}", True)
            except OSError:
                tried(engine, False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    found = engines.endpoints(parser.parse_args().data)
    intrude_clickhouse(found["clickhouse"])
    asyncio.run(intrude_nats(found["nats"]))
    listeners_elsewhere(found)
    json.dump({"attempts": attempts, "succeeded": succeeded}, sys.stdout)


if __name__ == "__main__":
    main()
