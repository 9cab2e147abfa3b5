"""A relay between a client and the server that remembers what went over it, so that a failed check can be read."""

import socket
import threading
import time

# Bytes of one connection that are remembered in each direction.
MOST = 1 << 16


class Wire:
    """Listens on a port of its own. A side that closes has the other side closed at once."""

    def __init__(self, server):
        self.server = server
        self.connections = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            try:
                server = socket.create_connection(self.server)
            except OSError:
                client.close()
                continue
            # Pairs of time and bytes, sent and received.
            connection = ([], [])
            self.connections.append(connection)
            for ends, seen in (((client, server), connection[0]), ((server, client), connection[1])):
                threading.Thread(target=self.copy, args=(*ends, seen), daemon=True).start()

    @staticmethod
    def copy(source, target, seen):
        size = 0
        try:
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := source.recv(65536):
                if size < MOST:
                    seen.append((time.time(), data))
                size += len(data)
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        source.close()

    def between(self, begin, end):
        """What was sent and received meanwhile, as text, connection by connection."""
        exchanges = []
        for connection in list(self.connections):
            texts = [
                b"".join(data for at, data in seen if begin <= at <= end).decode(errors="replace")
                for seen in connection
            ]
            if any(texts):
                exchanges.append(texts)
        return exchanges

    def close(self):
        self.listener.close()
