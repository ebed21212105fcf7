"""Writes a gzip file that unpacks to a JSON text of so many MiB: bomb.py FILE MIB"""

import sys
import zlib

path, mebibytes = sys.argv[1], int(sys.argv[2])
packer = zlib.compressobj(6, zlib.DEFLATED, 31)
block = b" " * (1024 * 1024)
with open(path, "wb") as file:
    file.write(packer.compress(b"{"))
    for _ in range(mebibytes):
        file.write(packer.compress(block))
    file.write(packer.compress(b"}"))
    file.write(packer.flush())
