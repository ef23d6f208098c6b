"""For tests whose servers have to be told their port."""
import random, socket


def free_port():
    """One that the kernel gives to nobody of its own choice."""
    while True:
        with socket.socket() as s:
            port = random.randrange(10000, 32768)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
