"""goals.py - how far a run's figures are from the goals. Ratios only: a machine's own speed is in all of them."""

OURS = "funnel-ingress"
TUNNELS = ("frp", "rathole", "go-ingress")
BULK = ("bulk_up_gbit_per_cpu_s", "bulk_down_gbit_per_cpu_s")


class Figures:
    def __init__(self, rows):
        self.rows = rows

    def median(self, measure, subject, **parameters):
        """None where it was not measured."""
        for row in self.rows:
            if row["measure"] == measure and row["subject"] == subject and parameters.items() <= row.items():
                return row["median"]
        return None

    def streams_of(self, measure):
        return sorted({row["streams"] for row in self.rows
                       if row["measure"] == measure and row["subject"] == OURS and "workers" not in row})


def goals(figures):
    """(what, ours, theirs, the ratio asked for, whether at least or at most)"""
    for measure in BULK:
        go = 8 if "up" in measure else 4
        for streams in figures.streams_of(measure):
            ours = figures.median(measure, OURS, streams=streams)
            for peer, ratio in (("limit", 0.7), ("go-ingress", go), ("frp", 1), ("rathole", 1)):
                yield (f"{measure}, {streams} streams, to {peer}", ours, figures.median(measure, peer, streams=streams),
                       ratio, "least")
    ours = figures.median("conn_per_cpu_s", OURS)
    for peer, ratio in (("haproxy", 1), *((tunnel, 4) for tunnel in TUNNELS)):
        yield f"conn_per_cpu_s, to {peer}", ours, figures.median("conn_per_cpu_s", peer), ratio, "least"
    yield ("pingpong_p99_us, 64 streams, to haproxy", figures.median("pingpong_p99_us", OURS, streams=64),
           figures.median("pingpong_p99_us", "haproxy", streams=64), 1.5, "most")
    for streams in figures.streams_of("idle_user_bytes"):
        ours = figures.median("idle_user_bytes", OURS, streams=streams)
        yield f"idle_user_bytes, {streams} streams, to 1,536", ours, 1536, 1, "most"
    for measure in BULK:
        yield (f"{measure}, two workers to one", figures.median(measure, OURS, workers=2),
               figures.median(measure, OURS, workers=1), 0.85, "least")
    costs = {row["count"]: row["median"] for row in figures.rows
             if row["measure"] == "conn_cpu_us" and row["of"] == "streams"}
    if costs:
        yield (f"conn_cpu_us, {max(costs)} open streams to {min(costs)}", costs[max(costs)], costs[min(costs)], 1.15,
               "most")


def show_goals(rows):
    print("\ngoals")
    for what, ours, theirs, ratio, way in goals(Figures(rows)):
        if ours is None or theirs is None:
            continue
        got = ours / theirs
        met = got >= ratio if way == "least" else got <= ratio
        print(f"{what:64} {got:8.2f}  at {way} {ratio:4}  {'met' if met else 'NOT MET'}")
