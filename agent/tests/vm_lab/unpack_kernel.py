"""Writes the ELF kernel that a zstd-compressed bzImage holds: unpack_kernel.py BZIMAGE VMLINUX."""

import subprocess
import sys

MAGIC = b"\x28\xb5\x2f\xfd"
data = open(sys.argv[1], "rb").read()
at = data.find(MAGIC)
while at >= 0:
    # The payload is followed by other bytes: zstd complains, and has written all of it.
    out = subprocess.run(["zstd", "-dcq"], input=data[at:], capture_output=True).stdout
    if out[:4] == b"\x7fELF":
        open(sys.argv[2], "wb").write(out)
        sys.exit(0)
    at = data.find(MAGIC, at + 1)
sys.exit("no ELF kernel in " + sys.argv[1])
