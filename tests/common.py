"""What tests of every kind and the benches share."""
import socket
from pathlib import Path


def leb(n):
    """Unsigned, as WebAssembly has it."""
    out = b""
    while n >= 0x80:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def distinct(file, n):
    """The module or component with a custom section of its own: what is compiled is looked up by the whole file."""
    name = f"n{n}".encode()
    content = leb(len(name)) + name
    return Path(file).read_bytes() + b"\0" + leb(len(content)) + content


def free_ports(n, host="127.0.0.1"):
    """Ports that nobody has now."""
    found = [socket.create_server((host, 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in found]
    for s in found:
        s.close()
    return ports


def free_port(below=65536):
    while (port := free_ports(1)[0]) >= below:
        pass
    return port
