"""Verifies a forwarded request with the reference package of Standard Webhooks.

Usage: standard_webhooks.py SECRET REQUEST, where REQUEST is {"headers": [[name, value], ...], "body": text}.
"""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

secret, path = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    request = json.load(file)
headers = dict(request["headers"])
webhook = Webhook(secret)
webhook.verify(request["body"], headers)
try:
    webhook.verify(request["body"] + " ", headers)
except WebhookVerificationError:
    print("accepted; refused when changed")
else:
    sys.exit("a changed body was accepted as well")
