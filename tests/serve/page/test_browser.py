"""The pages in a real browser."""

import contextlib
import shutil

import httpx
import pytest

from kerasbnn.datasets import load_digits

from ..make_digits_model import SEED
from ..prediction.pictures import encoded
from .traffic import LABELS, RAW

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium")

PAGES = ("/", "/models/digits", "/models/none")
# On a loopback address, Swagger UI refrains from asking other hosts.
ELSEWHERE = "kerasbnn.test"
SIZES = {"wide": 1280, "narrow": 360}


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as found:
        options = [
            *("--no-sandbox", "--disable-dev-shm-usage"),
            f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1",
        ]
        chromium = found.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Return a context manager that opens a page and watches what it does."""

    @contextlib.contextmanager
    def open_page(url, *, status=200, script=True, width=1280, fault="", **options):
        context = browser.new_context(
            java_script_enabled=script,
            viewport={"width": width, "height": 900},
            **options,
        )
        page = context.new_page()
        requests, faults = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("requestfailed", lambda request: faults.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda told: faults.append(told.text))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        answer = page.goto(url)
        assert answer.status == status
        yield page
        host = httpx.URL(url).netloc.decode()
        assert {httpx.URL(found).netloc.decode() for found in requests} == {host}
        assert [text for text in faults if not fault or fault not in text] == []
        context.close()

    return open_page


def upload(page, content, name="digit.png"):
    file = {"name": name, "mimeType": "image/png", "buffer": content}
    page.set_input_files("#image", file)
    page.get_by_role("button", name="Predict").click()


@pytest.mark.parametrize("script", [True, False])
def test_a_person_goes_from_the_models_to_a_layer(script, visit, drifting_server):
    with visit(drifting_server, script=script) as page:
        page.get_by_role("link", name="digits").first.click()
        assert page.title().startswith("digits 1")
        notice = page.get_by_role("region", name="Warnings")
        assert "inputs left the training covariance" in notice.inner_text().lower()
        notice.get_by_role("link").first.click()
        layer = page.locator("#layer-1")
        box = layer.bounding_box()
        assert box is not None
        assert 0 <= box["y"] < 900
        assert layer.get_by_role("img").first.is_visible()
        layer.get_by_text("What the audit said").click()
        assert layer.get_by_text("Gaussian weights would have").is_visible()


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("number", [1500, 1501, 1502])
def test_an_uploaded_digit_is_read(script, number, visit, digits_server):
    with visit(f"{digits_server}/models/digits", script=script) as page:
        upload(page, encoded(RAW[number]))
        result = page.get_by_role("status")
        assert result.locator(".best").inner_text() == str(LABELS[number])
        assert result.get_by_role("img").is_visible()
        assert page.get_by_role("row").filter(has_text="Class").count() == 1


@pytest.mark.parametrize("script", [True, False])
def test_the_sample_can_be_tried(script, visit, digits_server):
    with visit(f"{digits_server}/models/digits", script=script) as page:
        sample = page.get_by_role("img", name="A handwritten digit, light on dark")
        assert sample.evaluate("e => e.naturalWidth") == 8
        page.get_by_role("button", name="Try this one").click()
        best = page.get_by_role("status").locator(".best").inner_text()
        assert best == str(load_digits(SEED).y_test[0])


def test_an_upload_that_is_no_image(visit, digits_server):
    with visit(f"{digits_server}/models/digits", fault="status of 415") as page:
        upload(page, b"<script>alert(1)</script>")
        assert "neither PNG nor JPEG" in page.get_by_role("alert").inner_text()
        described = page.locator("#image").get_attribute("aria-describedby")
        assert described == "refusal"


def test_keys_alone_are_enough(visit, digits_server):
    with visit(f"{digits_server}/models/digits") as page:
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        assert focused.inner_text() == "Skip to the content"
        assert focused.bounding_box()["y"] >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        reached = []
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate(
                    "(e => [e.tagName, e.id, getComputedStyle(e).outlineStyle])"
                    "(document.activeElement)"
                )
            )
        tags = [tag for tag, _, _ in reached]
        assert {"A", "INPUT", "BUTTON", "SUMMARY", "DIV"} <= set(tags)
        assert "image" in [identity for _, identity, _ in reached]
        outlines = {o for tag, _, o in reached if tag not in ("BODY", "HTML")}
        assert "none" not in outlines


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("path", PAGES)
def test_accessibility(path, width, scheme, visit, drifting_server):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python"
    )
    status = 404 if "none" in path else 200
    options = {"width": SIZES[width], "color_scheme": scheme, "bypass_csp": True}
    options |= {"status": status, "fault": "status of 404"}
    with visit(drifting_server + path, **options) as page:
        for summary in page.locator("summary").all():
            summary.click()
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= SIZES[width]


def test_accessibility_of_a_result(visit, digits_server):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python"
    )
    with visit(f"{digits_server}/models/digits", bypass_csp=True) as page:
        upload(page, encoded(RAW[1500]))
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_colors_follow_the_scheme(visit, digits_server):
    grounds = []
    for scheme in ("light", "dark"):
        with visit(digits_server, color_scheme=scheme) as page:
            color = page.evaluate("getComputedStyle(document.body).backgroundColor")
            grounds.append(sum(map(int, color[4:-1].split(","))))
    light, dark = grounds
    assert light > 600
    assert dark < 150


def test_the_policy_keeps_scripts_out(visit, digits_server):
    fault = "violates the following Content Security Policy"
    with visit(f"{digits_server}/models/digits", fault=fault) as page:
        page.evaluate(
            "() => { const s = document.createElement('script');"
            "s.textContent = 'window.harm = true'; document.body.append(s) }"
        )
        assert page.evaluate("window.harm") is None


def test_the_api_is_shown_and_can_be_called(visit, digits_server):
    address = digits_server.replace("127.0.0.1", ELSEWHERE)
    with visit(f"{address}/docs") as page:
        page.wait_for_selector(".opblock")
        described = httpx.get(f"{digits_server}/openapi.json").json()
        operations = sum(len(methods) for methods in described["paths"].values())
        assert page.locator(".opblock").count() == operations
        assert described["openapi"].startswith("3.1")
        page.locator("#operations-tag-Prediction").get_by_role("button").first.click()
        ready = page.locator(".opblock", has_text="/v2/health/ready")
        ready.locator(".opblock-summary-control").click()
        ready.get_by_role("button", name="Try it out").click()
        ready.get_by_role("button", name="Execute").click()
        assert (
            ready.locator(".live-responses-table .response-col_status")
            .nth(1)
            .inner_text()
            .startswith("200")
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_executed_operation_can_be_read(scheme, visit, digits_server):
    address = digits_server.replace("127.0.0.1", ELSEWHERE)
    with visit(f"{address}/docs", color_scheme=scheme) as page:
        infer = page.locator(".opblock-post", has_text="/infer").first
        infer.locator(".opblock-summary-control").click()
        infer.get_by_role("button", name="Try it out").click()
        infer.get_by_role("button", name="Execute").click()
        infer.locator(".live-responses-table").wait_for()
        cells = ".live-responses-table td, .parameters td, .parameters th, pre"
        for cell in infer.locator(cells).all():
            style = "e => getComputedStyle(e).textAlign"
            assert cell.evaluate(style) in ("left", "start")
        light = "e => getComputedStyle(e).color.match(/\\d+/g).slice(0, 3).map(Number)"
        header = infer.locator(".parameters thead th").first.evaluate(light)
        assert (sum(header) > 500) == (scheme == "dark")
        words = page.locator(".info .renderedMarkdown").first.bounding_box()
        title = page.locator(".info .title").bounding_box()
        assert words is not None
        assert title is not None
        assert words["x"] == pytest.approx(title["x"], abs=1)


def test_the_api_without_scripts(visit, digits_server):
    with visit(f"{digits_server}/docs", script=False) as page:
        page.get_by_role("link", name="/openapi.json").click()
        assert "openapi" in page.content()
