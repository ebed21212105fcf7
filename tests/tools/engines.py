"""How a foreign client gets into the embedded engines: the file that their owner can read in the data directory."""

import json
import pathlib
import urllib.parse

import clickhouse_connect
import nats


def endpoints(data):
    return json.loads(pathlib.Path(data, "engines.json").read_text())


def clickhouse(data):
    """A clickhouse-connect client with the read-only user."""
    found = endpoints(data)["clickhouse"]
    url = urllib.parse.urlsplit(found["url"])
    client = clickhouse_connect.get_client(
        host=url.hostname,
        port=url.port,
        username=found["reader"],
        password=found["readerPassword"],
        database="hooklog",
        autogenerate_session_id=False,
        headers={found["tokenHeader"]: found["token"]},
    )
    return client


async def stream(data):
    """Every message of the stream HOOKLOG in its order, by nats-py: (sequence, subject, headers, data)."""
    found = endpoints(data)["nats"]
    connection = await nats.connect(found["url"], token=found["token"], max_reconnect_attempts=3)
    try:
        context = connection.jetstream()
        last = (await context.stream_info("HOOKLOG")).state.last_seq
        messages = []
        if last == 0:
            return messages
        subscription = await context.subscribe("", stream="HOOKLOG", ordered_consumer=True)
        while not messages or messages[-1][0] < last:
            message = await subscription.next_msg(timeout=30)
            messages.append((message.metadata.sequence.stream, message.subject, message.headers or {}, message.data))
        return messages
    finally:
        await connection.close()
