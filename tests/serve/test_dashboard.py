"""docs/grafana.json and docs/stability.md: what they name is there."""
import json, re

from harness import TOP, check
from packages import have
from test_admin import _Admin
from harness import MISBEHAVE

BOARD = TOP / "docs/grafana.json"
METRIC = re.compile(r"^METRIC\((\w+), (\w+),", re.M)


def _board():
    return json.loads(BOARD.read_text())


def _metrics():
    """{name: type} of the table of /metrics."""
    return dict(METRIC.findall((TOP / "src/platform/serve/metrics.def").read_text()))


def _named(expr):
    return set(re.findall(r"\btenon_(\w+)", expr))


def _queries(board):
    for p in board["panels"]:
        yield from (t["expr"] for t in p.get("targets", ()))
    yield from (v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query")


def each_metric_of_the_dashboard_is_one_that_there_is():
    there, page = _metrics(), (TOP / "docs/formats.md").read_text()
    with _Admin(MISBEHAVE) as s:
        told = s.ask("/metrics").body.decode()
    for expr in _queries(_board()):
        for name in _named(expr):
            family = re.sub("_(bucket|sum|count)$", "", name) if there.get(name) is None else name
            check(family in there, f"{name}: no metric is called so ({expr})")
            check(family == name or there[family] == "histogram", f"{name}: {family} is no histogram")
            check(re.search(rf"^# TYPE tenon_{family} {there[family]}$", told, re.M), f"{family} is not in /metrics")
            check(f"`{family}`" in page, f"{family} is not in docs/formats.md")
    check({m for e in _queries(_board()) for m in _named(e)} & {"link_calls_total", "requests_total", "process_cpu_seconds_total"}, "it shows nothing")


def each_metric_is_in_the_page_and_in_the_dashboard():
    shown, page = set(), (TOP / "docs/formats.md").read_text()
    for expr in _queries(_board()):
        shown |= {re.sub("_(bucket|sum|count)$", "", n) if n not in _metrics() else n for n in _named(expr)}
    missing = set(_metrics()) - shown
    check(not missing, f"not in the dashboard: {missing}")
    check(all(f"`{m}`" in page for m in _metrics()), "not in docs/formats.md")


def panels_lie_beside_each_other_and_have_numbers_of_their_own():
    board = _board()
    taken, ids = {}, [p["id"] for p in board["panels"]]
    check(len(ids) == len(set(ids)), ids)
    for p in board["panels"]:
        g = p["gridPos"]
        check(0 <= g["x"] and g["x"] + g["w"] <= 24 and g["h"] > 0, f"{p['title']}: {g}")
        for x in range(g["x"], g["x"] + g["w"]):
            for y in range(g["y"], g["y"] + g["h"]):
                check((x, y) not in taken, f"{p['title']} lies on {taken.get((x, y))}")
                taken[x, y] = p["title"]


def _lost(ours, theirs, at=""):
    """What of ours their model doesn't know or changes."""
    if isinstance(ours, dict):
        for k, v in ours.items():
            yield from _lost(v, theirs[k], f"{at}.{k}") if isinstance(theirs, dict) and k in theirs else [f"{at}.{k}"]
    elif isinstance(ours, list):
        if not isinstance(theirs, list) or len(ours) != len(theirs):
            yield at
        else:
            for i, (a, b) in enumerate(zip(ours, theirs)):
                yield from _lost(a, b, f"{at}[{i}]")
    elif ours != theirs:
        yield f"{at}: {ours!r}, {theirs!r}"


def grafanas_own_model_takes_all_of_it():
    dashboard = have("grafana_foundation_sdk.models.dashboard", "grafana-foundation-sdk")
    encoder = have("grafana_foundation_sdk.cog.encoder", "grafana-foundation-sdk")
    ours = _board()
    theirs = json.loads(encoder.JSONEncoder(sort_keys=True).encode(dashboard.Dashboard.from_json(ours)))
    lost = list(_lost(ours, theirs))
    check(not lost, lost[:10])


def the_page_on_stability_has_the_exit_codes_of_the_program():
    page = (TOP / "docs/stability.md").read_text()
    codes = {int(c) for c in re.findall(r"^ERROR\(\w+, (\d+),", (TOP / "src/ground/base/errors.def").read_text(), re.M)}
    told = {int(c) for row in re.findall(r"^\| ([\d, ]+) \|", page, re.M) for c in row.split(",")}
    check(codes <= told and told - codes == {130, 143}, f"{codes ^ told}")
