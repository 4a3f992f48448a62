"""A fresh instance of the C hello, called and reset, inside one process."""
import measure
from measure import median

ROUNDS = 5


def options(p):
    pass


def run(o):
    rows, data = [], {}
    for g in o.guest or ["c"]:
        file = measure.guest(g)
        found = [measure.tenon_bench(file, program="tenon-instantiate") for _ in range(o.rounds)]
        data[g] = {k: median([f[k] for f in found]) for k in found[0] if isinstance(found[0][k], (int, float))}
        rows += [[f"{g}: {k}", float(v)] for k, v in data[g].items()]
    measure.table(["guest, figure", "median"], rows)
    measure.save("instantiate", {"results": data})
