"""Thousands of connections at once, each with one request to a guest that makes as much as it may."""
import re, resource, select, socket, tempfile, time
from collections import Counter

import component, hungry
from harness import Server, Skip, check


def _arrive(addr, n, seconds):
    """n connections that stay open until each has its answer; how many got which."""
    poll, socks, texts, got, began = select.epoll(), {}, {}, Counter(), 0
    end = time.monotonic() + seconds
    while (began < n or socks) and time.monotonic() < end:
        for _ in range(min(200, n - began)):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(addr)
            socks[s.fileno()], texts[s.fileno()] = s, b""
            poll.register(s.fileno(), select.EPOLLOUT)
            began += 1
        for fd, ready in poll.poll(0.02):
            try:
                if ready & select.EPOLLOUT:
                    socks[fd].send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    poll.modify(fd, select.EPOLLIN)
                    continue
                data = socks[fd].recv(4096)
            except OSError as e:
                data, texts[fd] = b"", texts[fd] or type(e).__name__.encode()
            texts[fd] += data
            if not data:
                m = re.match(rb"HTTP/1.1 (\d+) ", texts[fd])
                got[int(m.group(1)) if m else texts[fd].decode() or "nothing"] += 1
                poll.unregister(fd)
                socks.pop(fd).close()
    got.update({"no answer in time": len(socks)} if socks else {})
    for s in socks.values():
        s.close()
    return got


def _writes():
    """Memory, page by page, nearly all of 256 MiB; then it sleeps."""
    return component.handler(handle=component.fill(4000) + component.sleep(1_000_000_000))


GUESTS = {"memory of its own": _writes, "long_fields": lambda: hungry.long_fields().assemble(), "held_bodies": lambda: hungry.held_bodies().assemble()}


def crowd(kind, n, mib):
    """The process stays within --process-memory; what doesn't fit gets its 503."""
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1], resource.RLIMIT_NOFILE
    if most < n + 200:
        raise Skip(f"{most} descriptors do not suffice")
    before = resource.getrlimit(hard)
    resource.setrlimit(hard, (most, most))
    try:
        with tempfile.NamedTemporaryFile(suffix=".wasm") as f:
            f.write(GUESTS[kind]())
            f.flush()
            with Server(f.name, "--process-memory", f"{mib}MiB", "--cpu", "500ms", "--deadline", "20s", "--drain", "2s", "--handles", "none", shards=2) as s:
                got = _arrive(s.addr, n, 120)
                peak = s.status("VmHWM") / 1024
                check(set(got) <= {500, 503, 504}, f"{kind}: {dict(got)}")
                check(peak <= mib, f"{kind}: {peak:.0f} MiB of {mib}: {dict(got)}")
                check(s.get("/", timeout=60).status in (500, 503, 504), "no answer any more")
    finally:
        resource.setrlimit(hard, before)
    return f"{kind}: {' '.join(f'{k}×{v}' for k, v in sorted(got.items()))}, at most {peak:.0f} MiB"
