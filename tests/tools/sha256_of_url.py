"""Prints the SHA-256 of what a URL answers, read in pieces. Usage: sha256_of_url.py URL"""

import hashlib
import sys
import urllib.request

digest = hashlib.sha256()
with urllib.request.urlopen(sys.argv[1], timeout=120) as answer:
    while piece := answer.read(1 << 20):
        digest.update(piece)
print(digest.hexdigest())
