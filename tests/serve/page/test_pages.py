"""The pages as text: what they say, and what they let a browser do."""

import re

import httpx
import pytest

from ..prediction.pictures import encoded
from .documents import parsed, rows_of
from .traffic import LABELS, RAW

PAGES = ("/", "/models/digits", "/models/digits/versions/1", "/docs")
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


def page(address, path="/models/digits"):
    answer = httpx.get(address + path)
    assert answer.status_code == 200
    return parsed(answer.text)


def three(value):
    return "-" if value is None else f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


@pytest.mark.parametrize("path", PAGES)
def test_headers(path, digits_server):
    answer = httpx.get(digits_server + path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    if path == "/docs":
        assert "script-src 'self';" in policy
        assert "default-src 'none'" in policy
        assert "http" not in policy
    else:
        assert policy == POLICY


@pytest.mark.parametrize("path", PAGES)
def test_structure(path, clean_server):
    text = httpx.get(clean_server + path).text
    assert text.startswith("<!DOCTYPE html>")
    root = parsed(text)
    everything = root.everything()
    assert root.all("html")[0].attributes["lang"] == "en"
    assert root.all("title")[0].text.endswith("kerasbnn")
    if path != "/docs":
        assert len(root.all("h1")) == 1
        assert not root.all("script")
    levels = [int(e.tag[1]) for e in everything if re.fullmatch("h[1-6]", e.tag)]
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    ids = [e.attributes["id"] for e in everything if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in everything:
        for key, value in element.attributes.items():
            assert not key.startswith("on")
            assert key != "style"
            if key in ("aria-labelledby", "aria-describedby", "for"):
                assert value in ids
            if key in ("href", "src", "action"):
                assert re.match("/(?!/)|#", value), value
                if value.startswith("#"):
                    assert value[1:] in ids
    for svg in root.all("svg"):
        hidden = svg.attributes.get("aria-hidden") == "true"
        assert hidden or svg.attributes["aria-label"]
    for table in root.all("table"):
        assert table.all("caption")
        assert all(cell.attributes.get("scope") for cell in table.all("th"))


@pytest.mark.parametrize("path", PAGES)
def test_everything_that_a_page_loads_or_links_to_is_there(path, clean_server):
    root = page(clean_server, path)
    links = {
        element.attributes[key].partition("#")[0]
        for element in root.everything()
        for key in ("href", "src")
        if key in element.attributes
    }
    for link in filter(None, links):
        answer = httpx.get(clean_server + link)
        assert answer.status_code == 200, link
        if link.startswith("/static/"):
            assert answer.headers["x-content-type-options"] == "nosniff"
            kind = {"css": "text/css", "js": "javascript", "svg": "image/svg+xml"}
            kind["png"] = "image/png"
            assert kind[link.rpartition(".")[2]] in answer.headers["content-type"]


@pytest.mark.parametrize("server", ["clean_server", "drifting_server"])
def test_figures_are_those_of_the_endpoints(server, request):
    address = request.getfixturevalue(server)
    base = f"{address}/v2/models/digits/geometry"
    audit = {layer["name"]: layer for layer in httpx.get(base).json()["layers"]}
    live = httpx.get(f"{base}/live").json()
    root = page(address)
    summary, *tables = (t for t in root.all("table") if len(rows_of(t)) >= 4)
    rows = rows_of(summary)
    assert len(rows) == len(live["layers"]) == len(audit) == len(tables)
    for row, table, layer in zip(rows, tables, live["layers"], strict=True):
        known, reference, now = audit[layer["name"]], layer["reference"], layer["live"]
        assert row[0].startswith(layer["name"])
        assert row[1] == ("drifted" if layer["warnings"] else "holds")
        angles = known["angles"]
        assert row[2] == (
            f"{angles['mean']:.1f}±{angles['sd']:.1f}"
            f"{angles['expected']:.1f}±{angles['expected_sd']:.1f}"
        )
        correlations = [three(values["correlation"]) for values in (reference, now)]
        assert row[3:5] == correlations
        assert row[6] == three(known["weights"]["sign_entropy"])
        assert row[7:9] == [three(v["sign_entropy"]) for v in (reference, now)]
        figures = {cells[0]: cells[1:] for cells in rows_of(table)}
        assert figures["Correlation, all filters together"][:2] == correlations
        change = layer["drift"]["correlation"]["deviations"]
        found = figures["Correlation, all filters together"][2]
        assert float(found.replace("\N{MINUS SIGN}", "-")) == pytest.approx(
            change, abs=0.51
        )


def test_warnings_are_those_of_the_endpoint(clean_server, drifting_server):
    live = httpx.get(f"{drifting_server}/v2/models/digits/geometry/live").json()
    warnings = [text for layer in live["layers"] for text in layer["warnings"]]
    assert warnings
    root = page(drifting_server)
    (notice,) = root.all("section", **{"class": "notice"})
    drifted = [layer["name"] for layer in live["layers"] if layer["warnings"]]
    assert [found.text for found in notice.all("dt")] == drifted
    shown = root.all("ul", **{"class": "warnings"})
    texts = [item.text for found in shown for item in found.all("li")]
    assert texts == [" ".join(text.split()) for text in warnings]
    assert f"{len(drifted)} layers drifted" in page(drifting_server, "/").text
    assert "geometry holds" in page(clean_server, "/").text
    assert not page(clean_server).all("section", **{"class": "notice"})


def test_histograms_are_those_of_the_angles(clean_server):
    root = page(clean_server)
    audit = httpx.get(f"{clean_server}/v2/models/digits/geometry").json()["layers"]
    charts = root.all("svg", **{"class": "chart angles"})
    assert len(charts) == len(audit)
    for chart, layer in zip(charts, audit, strict=True):
        bars = [r for r in chart.all("rect") if r.attributes["class"] == "bar"]
        counts = [int(re.search(r": (\d+)", bar.text)[1]) for bar in bars]
        assert sum(counts) == layer["filters"] == len(layer["angles"]["per_filter"])
        assert f"mean {layer['angles']['mean']:.1f}" in chart.attributes["aria-label"]


def test_traffic_is_that_of_the_statistics(clean_server):
    root = page(clean_server, "/")
    stats = httpx.get(f"{clean_server}/v2/models/digits/stats").json()
    found = stats["model_stats"][0]
    (table,) = root.all("table")
    (row,) = rows_of(table)
    assert row[1] == str(found["inference_stats"]["success"]["count"])
    assert row[2] == str(found["inference_stats"]["fail"]["count"])
    assert row[3] == f"{found['inference_count']:,}"
    (chart,) = root.all("svg", **{"class": "chart times"})
    requests = re.search(r"what (\d+) requests", chart.attributes["aria-label"])[1]
    success, fail = (found["inference_stats"][k]["count"] for k in ("success", "fail"))
    assert int(requests) == success + fail


def test_a_form_shows_what_the_model_says(digits_server):
    address = f"{digits_server}/models/digits"
    content = encoded(RAW[1500])
    answer = httpx.post(address, files={"image": content})
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == POLICY
    predicted = httpx.post(
        f"{digits_server}/v2/models/digits/predict", files={"image": content}
    ).json()["predictions"]
    root = parsed(answer.text)
    (result,) = root.all("div", **{"class": "result"})
    assert result.all("p")[0].text == str(LABELS[1500]) == predicted[0]["label"]
    rows = rows_of(result.all("table")[0])
    assert [row[:2] for row in rows] == [
        [entry["label"], three(entry["score"])] for entry in predicted
    ]
    pixels = [r.attributes["fill"] for r in result.all("svg")[0].all("rect")]
    assert {int(color[1:3], 16) for color in pixels} == set(RAW[1500].ravel().tolist())


@pytest.mark.parametrize(
    ("content", "status"), [(b"", 400), (b"GIF89a", 415), (encoded(RAW[0])[:70], 400)]
)
def test_a_form_says_why_an_image_was_refused(content, status, digits_server):
    address = f"{digits_server}/models/digits"
    answer = httpx.post(address, files={"image": content})
    assert answer.status_code == status
    (refusal,) = parsed(answer.text).all("p", **{"id": "refusal"})
    assert "image" in refusal.text
    assert httpx.post(address, content=b"x").status_code == 415
    compressed = httpx.post(address, content=b"x", headers={"Content-Encoding": "br"})
    assert compressed.headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "ADDRESS"}, False),
        ({"Origin": "ADDRESS"}, True),
        ({"Origin": "http://evil.test"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://["}, False),
        ({"Origin": ""}, False),
    ],
)
def test_forms_of_other_sites_are_refused(headers, is_own, digits_server):
    headers = {k: v.replace("ADDRESS", digits_server) for k, v in headers.items()}
    answer = httpx.post(
        f"{digits_server}/models/digits",
        files={"image": encoded(RAW[0])},
        headers=headers,
    )
    assert answer.status_code == (200 if is_own else 403)
    assert ("another site" in answer.text) == (not is_own)


def test_models_that_are_not_there(digits_server):
    for path in ("/models/none", "/models/digits/versions/7", "/models/%3Cscript%3E"):
        for method in ("GET", "POST"):
            answer = httpx.request(method, digits_server + path)
            assert answer.status_code == 404
            assert "text/html" in answer.headers["content-type"]
            assert answer.headers["content-security-policy"] == POLICY
            root = parsed(answer.text)
            assert root.all("h1")[0].text == "Not found"
            assert not root.all("script")
    answer = httpx.get(f"{digits_server}/v2/models/none")
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    "host", ["<script>alert(1)</script>", "a b", "[::1", "é", "x" * 5000]
)
@pytest.mark.parametrize("path", ["/", "/models/digits", "/docs"])
def test_hosts_that_nobody_has(path, host, digits_server):
    headers = {b"host": host.encode()}
    answer = httpx.get(digits_server + path, headers=headers)
    assert answer.status_code < 500
    assert "<script>alert" not in answer.text


def test_files_beside_those_of_the_pages_cannot_be_read(digits_server):
    for path in (
        "",
        "../routes.py",
        "%2e%2e/routes.py",
        "swagger/__init__.py",
        "swagger",
    ):
        assert httpx.get(f"{digits_server}/static/{path}").status_code == 404
