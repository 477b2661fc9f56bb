#!/usr/bin/env python3
"""slowlink.py ADDR PORT MS [SILENT]: listens on ADDR, and hands connections on to ADDR PORT; what the caller says arrives MS ms late.

What a link does to a connection whose packets were lost, without the others' being late. The connection of number SILENT, from
1 on, is never answered: the other side does not know of it. Prints the port once it listens.
"""
import socket
import sys
import threading
import time


def hand_on(source, sink, late):
    while True:
        try:
            data = source.recv(65536)
            time.sleep(late)
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            sink.sendall(data)
        except OSError:
            return


def main():
    addr, port, late = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) / 1000
    silent, held = int(sys.argv[4]) if len(sys.argv) > 4 else 0, []
    listener = socket.create_server((addr, 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        held.append(caller := listener.accept()[0])
        if len(held) == silent:
            continue
        called = socket.create_connection((addr, port))
        for way in (caller, called, late), (called, caller, 0):
            threading.Thread(target=hand_on, args=way, daemon=True).start()


main()
