"""The same as listen.mjs with python-socketio: prints a line of JSON for whatever happens, until it is killed."""

import json
import queue
import sys
import threading
import time

import socketio

base, text = sys.argv[1:]
wanted = json.loads(text)
namespace = wanted.get("namespace", "/")


one_line = threading.Lock()


def say(what, data=None):
    with one_line:
        print(json.dumps([what, data, int(time.time() * 1000)]), flush=True)


client = socketio.Client(reconnection_delay=0.1, reconnection_delay_max=0.5)


# The client handles each message in a thread of its own, so what came first could be said last. Here one thread handles all.
messages = queue.Queue()
start_thread = client.eio.start_background_task


def in_turn(target, *arguments, **named):
    if target == client._handle_eio_message:
        return messages.put(arguments)
    return start_thread(target, *arguments, **named)


def handle_messages():
    while True:
        client._handle_eio_message(*messages.get())


client.eio.start_background_task = in_turn
threading.Thread(target=handle_messages, daemon=True).start()


def joined():
    for event, data in wanted.get("subscribe", []):
        say("ack", client.call(event, data, namespace=namespace))
    say("connected", client.transport())


# Not in the handler itself: the answers to its calls come through the same loop.
client.on("connect", lambda: client.start_background_task(joined), namespace=namespace)
client.on("connect_error", lambda data=None: say("connect_error", data), namespace=namespace)
client.on("disconnect", lambda *reason: say("disconnect", reason), namespace=namespace)
client.on("*", say, namespace=namespace)
token = wanted.get("token")
try:
    client.connect(
        base,
        headers=wanted.get("headers", {}),
        auth={"token": token} if token else None,
        transports=wanted.get("transports"),
        namespaces=[namespace],
    )
    client.wait()
except socketio.exceptions.ConnectionError as error:
    say("refused", str(error))
