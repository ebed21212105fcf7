"""Prints large deliveries by their parts, signed with Python's own hmac, one line of JSON each.

Usage: large.py SECRET COUNT BYTES. The body is head, then so many x, then tail: BYTES in all.
"""

import hashlib
import hmac
import json
import sys

secret, count, size = sys.argv[1].encode(), int(sys.argv[2]), int(sys.argv[3])
for n in range(count):
    head = '{"repository":{"full_name":"octo-org/large"},"serial":%d,"padding":"' % n
    tail = '"}'
    padding = size - len(head) - len(tail)
    mac, digest = hmac.new(secret, digestmod=hashlib.sha256), hashlib.sha256()
    piece = b"x" * (1 << 20)
    parts = [head.encode()] + [piece] * (padding // len(piece)) + [piece[: padding % len(piece)], tail.encode()]
    for part in parts:
        mac.update(part)
        digest.update(part)
    line = {"delivery": f"large-{n}", "signature": f"sha256={mac.hexdigest()}", "sha256": digest.hexdigest()}
    print(json.dumps(line | {"head": head, "tail": tail, "padding": padding}))
