#!/usr/bin/env python3
"""stranger.py ADDR PORT MODE [SECONDS]: a peer that bench must not be kept busy by.

flood    connects again and again and sends garbage, half a greeting, a greeting with a wrong proof, or nothing
listen   is no kvpath: takes connections and says something else
version  listens, and speaks version 9 of bench's protocol
call     connects once as a kvpath of version 9 would
Prints how many connections it made, or "ready" once it listens.
"""
import os
import random
import socket
import struct
import sys
import time

MAGIC = b"kvbench\n"


def flood(addr, port, seconds):
    held, made, end = [], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            s = socket.create_connection((addr, port), timeout=1)
            made += 1
            s.setblocking(False)
            s.send(random.choice([
                os.urandom(random.randrange(1, 20000)),
                MAGIC + os.urandom(random.randrange(68)),
                MAGIC + struct.pack("<HH", 1, random.choice([1, 2])) + os.urandom(64 + random.randrange(5000)),
                MAGIC + struct.pack("<HH", 1, 1)[: random.randrange(4)],
                b"",
            ]))
            held.append(s)
        except OSError:
            time.sleep(0.001)
        if len(held) > 200:
            held.pop(random.randrange(len(held))).close()
    print(made, flush=True)


def serve(addr, port, hello):
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    s = socket.create_server((addr, port), family=family)
    print("ready", flush=True)
    while True:
        c, _ = s.accept()
        c.sendall(hello)
        c.settimeout(5)
        try:
            while c.recv(4096):
                pass
        except OSError:
            pass
        c.close()


def main():
    addr, port, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if mode == "flood":
        flood(addr, port, float(sys.argv[4]))
    elif mode == "listen":
        serve(addr, port, b"SSH-2.0-OpenSSH_9.2p1\r\n")
    elif mode == "version":
        serve(addr, port, MAGIC + struct.pack("<HHI", 9, 0, 7))
    elif mode == "call":
        with socket.create_connection((addr, port)) as s:
            s.sendall(MAGIC + struct.pack("<HH", 9, 1))
            while s.recv(4096):
                pass
            print(1)


main()
