"""The admin address: whether the process lives, whether it serves, what it counts."""
import contextlib, re, resource, signal, socket, subprocess, tempfile, time

import component
from front import Folder, Front, ask, connect, handed, listening, refused
from harness import HELLO, MISBEHAVE, Connection, Many, check, config
from packages import have

SAMPLE = re.compile(r'(tenon_[a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\d+(?:\.\d+)?)')


class _Admin(Front):
    """With an admin address of any port; `.admin` is where it is."""

    def __init__(self, file, *flags, **more):
        super().__init__(file, "--admin", "127.0.0.1:0", "--addr", "127.0.0.1:0", *flags, addresses=more.pop("addresses", 1) + 1, **more)

    def ask(self, path, method="GET", **more):
        return ask(self.admin, path, method, **more)

    def metrics(self):
        return _parse(self.ask("/metrics").body.decode())


def _parse(text):
    """{name: {labels as they stand: value}} of the text form; each family has its HELP and TYPE, each line is of the form."""
    found, families = {}, {}
    for line in text.splitlines():
        if m := re.fullmatch(r"# (HELP|TYPE) (tenon_[a-z_]+) (.+)", line):
            families.setdefault(m.group(2), {})[m.group(1)] = m.group(3)
            continue
        m = SAMPLE.fullmatch(line)
        check(m, f"not of the form: {line}")
        family = re.sub("_(bucket|sum|count)$", "", m.group(1)) if "duration" in m.group(1) else m.group(1)
        check(families.get(family, {}).keys() == {"HELP", "TYPE"}, f"{line}: no family")
        found.setdefault(m.group(1), {})[m.group(2) or ""] = float(m.group(3))
    return found


def _with(samples, part):
    return sum(v for labels, v in samples.items() if part in labels)


def it_says_whether_the_process_lives_and_serves():
    with _Admin(HELLO) as s:
        for path, status, body in (("/healthz", 200, b"ok\n"), ("/readyz", 200, b"ready\n"), ("/readyz?verbose", 200, b"ready\n"), ("/nothing", 404, None)):
            a = s.ask(path)
            check(a.status == status and (body is None or a.body == body), f"{path}: {a.status} {a.body}")
        check(s.ask("/healthz", "POST", body_hex="00" * 100000).status == 405, "POST")
        a = s.ask("/metrics", "HEAD")
        check(a.status == 200 and a.body == b"" and int(a.values("content-length")[0]) > 1000, f"{a.status} {a.headers}")
        check(ask(s.at[0], "/healthz").status == 404, "the guest's own path was taken")


def it_counts_requests_of_all_shards_by_status_and_time():
    with _Admin(MISBEHAVE, "--deadline", "500ms", shards=2) as s:
        for path, times in (("/", 59), ("/trap", 5), ("/sleep", 1), ("/", 1)):
            Many([lambda: ask(s.at[0], path) for _ in range(times)]).join()
        with connect(s.at[0]) as c:
            c.sendall(b"nonsense\r\n\r\n")
            c.recv(100)
        m = s.metrics()
        own = 'tenant="default",app="misbehave",component="misbehave"'
        check(m["tenon_requests_total"] == {f'{own},status="200"': 60, f'{own},status="500"': 5, f'{own},status="504"': 1, f'{own},status="400"': 1}, f"{m['tenon_requests_total']}")
        check(m["tenon_traps_total"] == {f'{own},kind="unreachable"': 5, f'{own},kind="deadline"': 1}, f"{m['tenon_traps_total']}")
        buckets = [v for _, v in sorted(((float(re.search('le="([^"]+)"', k).group(1).replace("+", "")), v) for k, v in m["tenon_request_duration_seconds_bucket"].items()))]
        check(buckets == sorted(buckets) and buckets[-1] == 66 == m["tenon_request_duration_seconds_count"][own], f"{buckets}")
        check(_with(m["tenon_request_duration_seconds_bucket"], 'le="0.25"') <= 65 and m["tenon_request_duration_seconds_sum"][own] >= 0.5, f"{buckets}")
        check(0 < m["tenon_guest_cpu_seconds_total"][own] < m["tenon_process_cpu_seconds_total"][""] + 0.1, "CPU time")
        instances = [m[f"tenon_{name}"][own] for name in ("instances", "instances_made_total", "instance_memory_peak_bytes")]
        check(instances[0] >= 1 and instances[1] >= 7 and instances[2] >= 65536, f"alive, made, peak: {instances}")
        check(m["tenon_requests_in_flight"][own] == 0 == m["tenon_requests_queued"][own], "calls")
        url = f'listener="{s.urls[0]}"'
        check(m["tenon_connections_accepted_total"][url] == 67 and m["tenon_refused_requests_total"][url] == 1, "connections")
        check(m["tenon_received_bytes_total"][url] > 1000 and m["tenon_sent_bytes_total"][url] > 1000, "bytes")
        check(m["tenon_ready"][""] == 1 and m["tenon_process_open_descriptors"][""] > 5 and m["tenon_process_page_faults_total"][""] > 100, "the process")
        check(2 << 20 < m["tenon_process_resident_memory_bytes"][""] < m["tenon_process_memory_limit_bytes"][""], "memory")
        check(abs(m["tenon_process_start_time_seconds"][""] - time.time()) < 300, "start")


def _until(s, name, value):
    """The metrics, once that one has that value."""
    for _ in range(1000):
        m = s.metrics()
        if _with(m[name], "") == value:
            return m
        time.sleep(0.01)
    raise AssertionError(f"{name}: {m[name]}")


def the_first_shard_has_an_instance_at_the_start_and_others_once_they_are_asked():
    own = 'tenant="default",app="hello",component="hello"'
    with _Admin(HELLO, shards=2) as s:
        made = lambda: s.metrics()["tenon_instances_made_total"][own]
        check(made() == 1, f"{made()} instances at the start")
        for _ in range(200):
            check(ask(s.at[0], "/").status == 200, "no answer")
            if made() == 2:
                break
        check(made() == 2, f"{made()} instances of two shards")


def what_runs_and_waits_now_is_seen_while_every_shard_is_busy():
    with _Admin(MISBEHAVE, "--calls", "3", "--queue-timeout", "30s", "--cpu", "30s", "--deadline", "15s") as s:
        busy = [Many([lambda path=path: ask(s.at[0], path, timeout=60)]) for path in ("/spin", "/spin", "/sleep")]
        _until(s, "tenon_requests_in_flight", 3)
        busy += [Many([lambda: ask(s.at[0], "/", timeout=60) for _ in range(2)])]
        m = _until(s, "tenon_requests_queued", 2)
        check(_with(m["tenon_requests_in_flight"], "") == 3 and _with(m["tenon_requests_queued"], "") == 2 and _with(m["tenon_connections"], "") == 5, f"{m}")
        check(s.ask("/readyz").status == 200, "not ready")
        for b in busy:
            b.join()


def a_parser_of_others_reads_it_too():
    open_parse = have("prometheus_client.openmetrics.parser", "prometheus-client").text_string_to_metric_families
    parse = have("prometheus_client.parser", "prometheus-client").text_string_to_metric_families
    with Folder() as d, _Admin(MISBEHAVE, "--addr", f"unix:{d}/a\"b\\c", addresses=2) as s:
        for path in ("/", "/trap"):
            ask(s.at[0], path)
        _until(s, "tenon_requests_total", 2)
        text, opened = s.ask("/metrics"), s.ask("/metrics", headers=[["Accept", "text/html, application/openmetrics-text; version=1.0.0;q=0.8"]])
        check(text.values("content-type") == ["text/plain; version=0.0.4; charset=utf-8"], f"{text.headers}")
        check(opened.values("content-type")[0].startswith("application/openmetrics-text") and opened.body.endswith(b"# EOF\n"), f"{opened.headers}")
        for families in (list(parse(text.body.decode())), list(open_parse(opened.body.decode()))):
            by_name = {f.name: f for f in families}
            check(all(f.documentation and f.type in ("counter", "gauge", "histogram") for f in families), "types")
            check(sum(x.value for x in by_name["tenon_requests"].samples) == 2, f"{by_name['tenon_requests'].samples}")
            check({x.labels["listener"] for x in by_name["tenon_connections"].samples} == set(s.urls), f"{by_name['tenon_connections'].samples}")


def it_is_not_ready_while_it_starts():
    f = tempfile.NamedTemporaryFile(suffix=".wasm")
    f.write(component.handler(start=component.sleep(60_000_000_000)))
    f.flush()
    with Folder() as d:
        p = subprocess.Popen([str(config.tenon), "serve", f.name, "--init", "once", "--deadline", "60s", "--addr", "127.0.0.1:0", "--admin", f"unix:{d}/a"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            for _ in range(500):
                if (d / "a").exists():
                    break
                time.sleep(0.02)
            time.sleep(0.1)
            check(ask(f"{d}/a", "/healthz").status == 200, "does not live")
            a = ask(f"{d}/a", "/readyz")
            check(a.status == 503 and a.body == b"starting\n", f"{a.status} {a.body}")
            m = _parse(ask(f"{d}/a", "/metrics").body.decode())
            check(m["tenon_ready"][""] == 0 and "tenon_requests_total" not in m, "counts of what does not stand")
        finally:
            p.terminate()
            p.communicate(timeout=20)
        check(p.returncode == 0 and not (d / "a").exists(), f"{p.returncode}")


def nor_while_it_drains():
    with _Admin(MISBEHAVE, shards=2) as s:
        flying = Many([lambda: ask(s.at[0], "/delay") for _ in range(4)])
        time.sleep(0.1)
        s.process.send_signal(signal.SIGTERM)
        seen = None
        for _ in range(20):
            try:
                seen = s.ask("/readyz")
            except OSError:
                break
            if seen.status == 503:
                break
            time.sleep(0.01)
        check(seen and seen.status == 503 and seen.body == b"draining\n", f"{seen and seen.status}")
        check(_with(_parse(s.ask("/metrics").body.decode())["tenon_ready"], "") == 0, "ready")
        check(all(a.status == 200 for a in flying.join()), "cut")
        s.process.wait(20)  # another signal would end it at once


def requests_are_taken_for_a_while_after_the_signal():
    """Whoever sends them here looks at /readyz now and then: until he has, nobody is turned away."""
    with _Admin(MISBEHAVE, "--drain-delay", "3s", shards=2) as s:
        sent = time.monotonic()
        s.process.send_signal(signal.SIGTERM)
        while s.ask("/readyz").status == 200:
            time.sleep(0.01)
        answered = 0
        while s.process.poll() is None:
            try:
                a = ask(s.at[0])
            except OSError:
                break
            check(a.status == 200 or time.monotonic() - sent >= 3, f"{a.status} {a.error}")
            answered += 1
            time.sleep(0.05)
        check(answered > 1 and time.monotonic() - sent >= 3, f"{answered} were answered in {time.monotonic() - sent:.1f} s")
        check(s.process.wait(20) == 0, "no clean end")
    s = _Admin(MISBEHAVE, "--drain-delay", "1h")
    try:
        s.process.send_signal(signal.SIGTERM)
        while s.ask("/readyz").status == 200:
            time.sleep(0.01)
    finally:
        status = s.stop()
    check(status == 128 + signal.SIGTERM, f"a second signal doesn't end it at once: {status}")


def its_address_is_its_own():
    with listening() as taken:
        port = taken.getsockname()[1]
        status, text = refused(HELLO, "--addr", "127.0.0.1:0", "--admin", f"127.0.0.1:{port}")
        check(status == 5 and "--admin" in text, f"{status} {text}")
    status, text = refused(HELLO, "--addr", "127.0.0.1:5999", "--admin", "127.0.0.1:5999")
    check(status == 2 and "--admin" in text, f"{status} {text}")
    with Folder() as d, Front(HELLO, "--addr", "127.0.0.1:0", "--admin", f"unix:{d}/a", addresses=2) as s:
        check(s.admin == f"{d}/a" and ask(s.admin, "/healthz").status == 200, f"{s.admin}")
    with listening() as http, listening() as admin, Front(HELLO, wrap=handed(http, admin), env={"LISTEN_FDNAMES": "http:admin"}, addresses=2) as s:
        check(s.at == [http.getsockname()] and s.admin == admin.getsockname(), f"{s.urls} {s.admin}")
        check(ask(s.admin, "/readyz").status == 200 and ask(s.at[0]).status == 200, "not served")
        status, text = refused(HELLO, "--admin", "127.0.0.1:0", wrap=handed(http, admin), env={"LISTEN_FDNAMES": "http:admin"})
        check(status == 2 and "--admin" in text, f"{status} {text}")


def as_json_the_ready_line_has_it():
    with Front(HELLO, "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0", json=True) as s:
        check(ask(s.admin, "/healthz").status == 200, "not served")


def who_takes_all_of_its_places_takes_nobody_elses():
    with _Admin(HELLO) as s:
        held = [Connection(s.admin) for _ in range(150)]
        for c in held[:40]:
            c.send("GET /hea")
        check(ask(s.at[0]).status == 200, "guests' clients wait")
        for _ in range(20):
            time.sleep(0.1)
            try:
                if s.ask("/healthz", timeout=3).status == 200:
                    break
            except OSError:
                pass
        else:
            raise AssertionError("nobody is let in")
        for c in held:
            c.close()


def behind_thousands_of_silent_connections_it_answers():
    """They go, the longest silent first: who asks sends at once."""
    had = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(had[0], min(had[1], 4096)), had[1]))
    with _Admin(HELLO) as s:
        held = []
        for _ in range(3000):
            c = socket.socket(socket.AF_INET)
            c.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                c.connect(s.admin)
            held.append(c)
        began = time.monotonic()
        for _ in range(3):
            check(s.ask("/healthz", timeout=60).status == 200, "nobody is let in")
        took = time.monotonic() - began
        for c in held:
            c.close()
        check(took < 6, f"it took {took} s")  # 12 s where each of 64 places was held for a quarter of a second; 0.2 alone


def who_asks_for_metrics_and_reads_nothing_holds_up_nobody():
    with _Admin(HELLO) as s:
        held = []
        for _ in range(40):  # of a page that is larger than what the kernel takes for each
            c = Connection(s.admin, rcvbuf=4096)
            c.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
            held.append(c)
        time.sleep(0.5)
        for _ in range(20):
            check(s.ask("/healthz", timeout=30).status == 200, "it waits for them")
        until = time.monotonic() + 60
        while (a := s.ask("/metrics", timeout=30)).status == 503 and time.monotonic() < until:
            time.sleep(0.1)
        check(a.status == 200 and b"tenon_" in a.body, "no page for who reads")
        for c in held:
            c.close()


def requests_of_one_turn_take_few_instances():
    """Four small ones, which are made equal to the image together; and one for each call that was interrupted meanwhile."""
    own = 'tenant="default",app="hello",component="hello"'
    with _Admin(HELLO) as s, contextlib.ExitStack() as held:
        clients = [held.enter_context(Connection(s.at[0])) for _ in range(20)]

        def turn():
            s.process.send_signal(signal.SIGSTOP)
            for c in clients:
                c.ask("/")
            s.process.send_signal(signal.SIGCONT)
            check(all(c.answer().status == 200 for c in clients), "no answer")
            return s.metrics()["tenon_instances_made_total"][own]

        made = [turn() for _ in range(20)]
        check(4 <= made[-1] <= 8, f"{made} instances")


def what_a_burst_made_goes_and_a_steady_load_makes_none():
    own = 'tenant="default",app="misbehave",component="misbehave"'
    with _Admin(MISBEHAVE, "--idle", "2s") as s:
        def count():
            m = s.metrics()
            return m["tenon_instances"][own], m["tenon_instances_made_total"][own]

        until = time.monotonic() + 60
        while (burst := count())[0] < 8 and time.monotonic() < until:  # while code is compiled behind the first answers none is used again
            check(all(a.status == 200 for a in Many([lambda: ask(s.at[0], "/delay", timeout=60) for _ in range(16)]).join()), "a burst")
        check(burst[0] >= 8, f"{burst} instances of a burst")
        until = time.monotonic() + 30
        while count()[0] > 1 and time.monotonic() < until:
            check(ask(s.at[0], "/").status == 200, "a steady load")
            time.sleep(0.05)
        check(count()[0] == 1, f"{count()} instances: what the burst made stays")
        time.sleep(5)  # nobody calls
        check(ask(s.at[0], "/").status == 200, "the last stays")
        check(count() == (1, burst[1]), f"{count()}: made anew since {burst}")
