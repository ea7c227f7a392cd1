"""One page of HTML on a run, or on several of them side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from denet.memory import bytes_text
from denet.report.curves_svg import curves
from denet.report.html import Markup, data_url, element, joined, page, picture, scrolling, table
from denet.report.object_errors import side_text
from denet.report.run import Box, DataSet, Evaluation, Run, Scene

MOST_CLASSES = 40  # of a matrix of counts; of more the commonest mistakes are listed
MIXUPS = 20
TAGGED = 16  # boxes of a picture, up to which each is named in it


def runs_page(runs: Sequence[Run], made: str) -> str:
    """Return the page; ``made`` says by what and when."""
    several = len(runs) > 1
    title = f"{len(runs)} runs" if several else runs[0].name
    parts: list[object] = [element("h1", title), element("p", made, class_="quiet")]
    if several:
        links = [
            element("li", element("a", run.name, href=f"#run{number}"))
            for number, run in enumerate(runs)
        ]
        parts += [element("nav", element("ul", *links), aria_label="runs"), _comparison(runs)]
    for number, run in enumerate(runs):
        heading = element("h2", run.name) if several else ""
        parts.append(element("section", heading, *_sections(run, several), id=f"run{number}"))
    return page(f"{title} - model-report", *parts)


def _comparison(runs: Sequence[Run]) -> Markup:
    """Return the numbers of all runs in a table, the options that differ, and all curves."""
    tables = [_numbers(run) for run in runs]
    names = list(dict.fromkeys(name for each in tables for name in each))
    header = ["", *(run.name for run in runs)]
    options = list(dict.fromkeys(each.name for run in runs for each in run.settings))
    values = {name: [run.setting(name) for run in runs] for name in options}
    differing = [
        [name, *each]
        for name, each in values.items()
        if len(set(each)) > 1 and name != "output-prefix"
    ]
    figures = curves({run.name: run.metrics for run in runs if run.metrics})
    return element(
        "section",
        element("h2", "Side by side"),
        table(
            header,
            [[name, *(each.get(name, "-") for each in tables)] for name in names],
            class_="compare",
        ),
        element("h3", "Options that differ") if differing else "",
        table(header, differing, class_="compare") if differing else "",
        _grid(figures, "24rem"),
    )


def _sections(run: Run, several: bool) -> Iterator[Markup]:
    """Yield what is told of one run; ``several`` stand in the page."""
    heading = "h3" if several else "h2"
    for note in [*run.notes, *run.warnings]:
        yield element("p", note, class_="note")
    if numbers := _numbers(run):
        yield element(heading, "Result")
        yield table([], numbers.items())
    if run.metrics:
        yield element(heading, "Curves")
        yield _grid(curves({run.name: run.metrics}), "24rem")
    if run.evaluation:
        yield from _evaluation(run.evaluation, heading)
    if run.data:
        yield element(heading, "Data")
        yield from (_data(each) for each in run.data)
    if run.settings:
        yield element(heading, "Options")
        yield from _options(run)
    if run.environment:
        yield element(heading, "Environment")
        yield table([], run.environment)
    if run.files:
        yield element(heading, "Files")
        total = sum(each.size for each in run.files)
        rows = [
            [each.name, f"{each.size:,}", element("code", each.sha256, class_="hash")]
            for each in run.files
        ]
        yield table(["file", "bytes", "SHA-256"], rows, f"{len(rows)} files, {bytes_text(total)}")


def _numbers(run: Run) -> dict[str, str]:
    """Return the numbers that runs are compared by, in words."""
    metrics = run.metrics
    found: dict[str, str] = {}
    if epochs := metrics.get("epoch"):
        wanted, timed = run.setting("epochs"), run.setting("minutes")[:1].isdigit()
        planned = wanted.isdigit() and not timed  # else the time has chosen them
        found["epochs"] = f"{epochs[-1]:g}" + f" of {wanted}" * planned
    for column, words in (("cost", "last cost"), ("test_error", "last test error")):
        if known := _known(metrics.get(column, [])):
            found[words] = f"{known[-1]:.4g}" + "%" * (column == "test_error")
    tests = zip(metrics.get("test_error", []), metrics.get("epoch", []), strict=False)
    if pairs := [pair for pair in tests if math.isfinite(pair[0])]:
        error, epoch = min(pairs)
        found["best test error"] = f"{error:.2f}%, epoch {epoch:g}"
    if run.evaluation:
        found |= {name: f"{value:.2f}%" for name, value in run.evaluation.numbers.items()}
    found |= {name: f"{value}" for name, value in run.summary.items()}
    if seconds := _known(metrics.get("train_seconds", [])):
        found["time of training"] = _duration(sum(seconds))
    if speeds := _known(metrics.get("images_per_second", [])):
        speed = speeds[-1]
        found["images/s, last epoch"] = f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"
    return found


def _evaluation(evaluation: Evaluation, heading: str) -> Iterator[Markup]:
    yield element(heading, "Test")
    yield element("p", evaluation.words)
    if evaluation.classes:
        yield _folded(table(evaluation.header, evaluation.classes), len(evaluation.classes))
    yield element("h3", "Confusion")
    yield _confusion(evaluation)
    if evaluation.sizes:
        yield element("h3", "Sizes of objects, and how many are found")
        yield _histogram(evaluation.sizes)
    if evaluation.mistakes:
        yield element("h3", evaluation.mistakes_words)
        yield _key(evaluation.key)
        yield _grid(map(_scene, evaluation.mistakes), _least(evaluation.mistakes))
    if evaluation.answers:
        yield element("h3", "Detections beside truth")
        yield _key(evaluation.answers_key)
        yield _grid(map(_scene, evaluation.answers), "32rem")


def _confusion(evaluation: Evaluation) -> Markup:
    """Return the counts in cells coloured by their share of the row, of many classes a list."""
    matrix, rows, columns = evaluation.matrix, evaluation.rows, evaluation.columns
    if max(matrix.shape) > MOST_CLASSES:
        return _mixups(evaluation)
    totals = matrix.sum(axis=1).tolist()
    body = []
    for true, counts in enumerate(matrix.tolist()):
        cells = []
        for answer, count in enumerate(counts):
            share = math.sqrt(count / max(totals[true], 1)) * 0.8
            kind = "right" if rows[true] == columns[answer] else "wrong"
            style = f"--share: {share:.2f}" if count else "--share: 0"
            words = f"{rows[true]}: {count} of {totals[true]} answered {columns[answer]}"
            shown = count if count else ""
            cells.append(element("td", shown, class_=kind, style=style, title=words))
        body.append(element("tr", element("th", rows[true], scope="row"), *cells))
    head = [element("th", name, scope="col") for name in ("true class \\ answer", *columns)]
    content = element(
        "table", element("thead", element("tr", *head)), element("tbody", *body), class_="matrix"
    )
    return scrolling(content, "confusion matrix")


def _mixups(evaluation: Evaluation) -> Markup:
    """Return the commonest mistakes."""
    matrix, rows, columns = evaluation.matrix, evaluation.rows, evaluation.columns
    found = [
        (count, rows[true], columns[answer])
        for true, counts in enumerate(matrix.tolist())
        for answer, count in enumerate(counts)
        if count and rows[true] != columns[answer]
    ]
    found.sort(key=lambda each: -each[0])
    listed = [[true, answer, f"{count:,}"] for count, true, answer in found[:MIXUPS]]
    told = f"the commonest of {sum(count for count, _, _ in found):,} mistakes"
    return table(["true class", "answer", "times"], listed, told)


def _histogram(sizes: Sequence[tuple[int, int, int]]) -> Markup:
    """Return bars of all objects of each size, and within them those that are found."""
    step, height = 76, 150
    most = max(count for _, count, _ in sizes)
    parts = []
    for place, (side, count, found) in enumerate(sizes):
        left, middle = place * step + 8, place * step + step / 2
        for number, kind in ((count, "bar-all"), (found, "bar-found")):
            tall = round(number / most * height, 1)
            top = 20 + height - tall
            parts.append(element("rect", x=left, y=top, width=step - 16, height=tall, class_=kind))
        share = f"{found}/{count}" if count else ""
        top = 16 + height - round(count / most * height, 1)
        parts.append(element("text", share, x=middle, y=top, text_anchor="middle"))
        label = side_text(side)
        parts.append(element("text", label, x=middle, y=height + 38, text_anchor="middle"))
    width = len(sizes) * step
    words = "; ".join(f"{side_text(side)} pixels: {n} of {of}" for side, of, n in sizes)
    drawing = element(
        "svg",
        *parts,
        viewBox=f"0 0 {width} {height + 48}",
        role="img",
        aria_label=f"objects found by side: {words}",
        style=f"max-width: {width}px",
    )
    return element(
        "figure",
        drawing,
        element("figcaption", "side of the object in pixels of the image (root of its area)"),
    )


def _data(data: DataSet) -> Markup:
    total = sum(data.counts.values())
    rows = [[name, f"{n:,}", f"{n / max(total, 1):.1%}"] for name, n in data.counts.items()]
    counts = table(["class", data.counted, "share"], rows, f"{total:,} {data.counted}")
    return joined(
        [
            element("h3", data.title),
            element("p", data.words),
            _folded(counts, len(rows)),
            _key(data.key),
            _grid(map(_scene, data.samples), _least(data.samples)),
        ]
    )


def _folded(content: Markup, class_num: int) -> Markup:
    """Return a table of classes, that of many folded."""
    if class_num <= MOST_CLASSES:
        return content
    return element("details", element("summary", f"{class_num:,} classes"), content)


def _options(run: Run) -> Iterator[Markup]:
    """Yield the options that are not as they would be by themselves, then the others."""
    changed = [each for each in run.settings if each.value != each.default]
    header = ["option", "value", "default"]
    yield table(header, changed, "options that differ from their defaults")
    others = [each[:2] for each in run.settings if each.value == each.default]
    yield element(
        "details",
        element("summary", f"{len(others)} options as they are by default"),
        table(header[:2], others),
    )


def _scene(scene: Scene) -> Markup:
    lines = joined(element("div", line) for line in scene.caption)
    if not scene.panels:
        content = picture(scene.image, "; ".join(scene.caption))
        return element("figure", content, element("figcaption", lines))
    source = data_url(scene.image)
    panels = [
        element(
            "div",
            _boxes(scene, source, boxes, title),
            element("div", title, class_="quiet") if title else "",
        )
        for title, boxes in scene.panels.items()
    ]
    return element("figure", element("div", *panels, class_="pair"), element("figcaption", lines))


def _boxes(scene: Scene, source: str, boxes: Sequence[Box], title: str) -> Markup:
    """Return the picture with boxes over it, each of which tells what it is."""
    width, height = scene.image.size
    factors = [part / whole for part, whole in zip((width, height), scene.size, strict=True)] * 2
    parts = [element("image", href=source, width=width, height=height)]
    size = max(width, height) / 34
    tags = []
    for box in boxes:
        x0, y0, x1, y1 = (
            round(side * factor, 1) for side, factor in zip(box.sides, factors, strict=True)
        )
        place = {"x": x0, "y": y0, "width": max(x1 - x0, 1), "height": max(y1 - y0, 1)}
        told = element("title", box.words)
        style = f"stroke: {box.colour}"
        parts.append(element("rect", told, **place, class_="box", style=style))
        if len(boxes) <= TAGGED:
            top = y0 - 3 if y0 > 1.5 * size else y0 + size
            look = f"font-size: {size:.1f}px"
            tags.append(element("text", box.words, x=x0, y=round(top, 1), class_="tag", style=look))
    words = "; ".join([title, *scene.caption, f"{len(boxes)} boxes"]).lstrip("; ")
    return element(
        "svg", *parts, *tags, viewBox=f"0 0 {width} {height}", role="img", aria_label=words
    )


def _key(colours: Mapping[str, str]) -> Markup:
    """Return what the colours of boxes mean."""
    items = [
        element("li", element("span", class_="key", style=f"border-color: {colour}"), name)
        for name, colour in colours.items()
    ]
    return element("ul", *items, class_="legend") if items else Markup("")


def _grid(figures: Iterable[Markup], least: str) -> Markup:
    """Return figures in as many columns of ``least`` width as there is room for."""
    return element("div", *figures, class_="grid", style=f"--least: {least}")


def _least(scenes: Sequence[Scene]) -> str:
    """Return the width of a column for these pictures."""
    largest = max((max(scene.image.size) for scene in scenes), default=0)
    return "20rem" if largest > 300 else "8rem"


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
