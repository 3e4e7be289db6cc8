"""table.py - a run's medians side by side: a line a measure, a column a subject."""

PLAIN = {"measure", "subject", "median", "min", "max", "unit"}


def show_table(rows):
    subjects = list(dict.fromkeys(row["subject"] for row in rows))
    lines = {}
    for row in rows:
        parameters = " ".join(f"{k}={v}" for k, v in row.items() if k not in PLAIN)
        lines.setdefault(f"{row['measure']} {parameters}".strip(), {})[row["subject"]] = row["median"]
    width = max(map(len, lines), default=0)
    print("\n" + " ".join([" " * width, *(f"{subject:>14}" for subject in subjects)]))
    for what, medians in lines.items():
        print(" ".join([f"{what:{width}}", *(shown(medians.get(subject)) for subject in subjects)]))


def shown(figure):
    if figure is None:
        return f"{'-':>14}"
    return f"{figure:>14,.2f}" if abs(figure) < 100 else f"{figure:>14,.0f}"
