"""report.html as people meet it: offline, on a desk and a phone, with keyboard, without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up_runs import LAYERS, a_manifest, an_evidence
from playwright.sync_api import Browser, Page

from attendc.report.compare import compare_runs
from attendc.report.compare_page import render_comparison
from attendc.report.page import render_report

pytestmark = pytest.mark.slow  # a browser is started, and a page opened for each

Open = Callable[..., Page]
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BYTES = "#files ~ .scroll td:nth-child(3)"


@pytest.fixture
def look(chromium: Browser) -> Iterator[Open]:
    """Return what opens a file in a window; at the end no console error and no request but for the file is allowed."""
    faults: list[str] = []
    windows = []

    def open_page(path: Path, width: int = 1200, **options: Any) -> Page:
        window = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        windows.append(window)
        page = window.new_page()
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("request", lambda request: faults.append(request.url) if is_foreign(request.url, path) else None)
        page.goto(path.as_uri())
        return page

    yield open_page
    for window in windows:
        window.close()
    assert faults == []


def is_foreign(url: str, path: Path) -> bool:
    return url != path.as_uri() and not url.startswith("data:")


def shown(page: Page, selector: str) -> list[dict[str, Any]]:
    """Return the boxes of what is really to be seen."""
    boxes = [one.bounding_box() for one in page.locator(selector).all() if one.is_visible()]
    return [dict(box) for box in boxes if box is not None]


def column(page: Page, selector: str) -> list[str]:
    return page.locator(selector).all_inner_texts()


def test_every_picture_is_there_and_has_a_size(look: Open, report: Path) -> None:
    page = look(report)
    # size, agreement, error by layer (wide), three panels of the first layer, loss, accuracy, pruning
    pictures = shown(page, "svg.picture")
    assert len(pictures) == 9
    assert all(box["width"] > 200 and box["height"] > 100 for box in pictures)
    images = page.locator(".images img")
    assert images.count() == 3
    assert images.evaluate_all("all => all.every(i => i.complete && i.naturalWidth === 28)")


@pytest.mark.parametrize("width", [320, 360, 768, 1200])
def test_the_page_does_not_scroll_sideways(look: Open, report: Path, width: int) -> None:
    page = look(report, width)
    assert page.evaluate(SIDEWAYS) == 0
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate(SIDEWAYS) == 0


def test_a_phone_gets_the_narrow_picture_of_the_layers(look: Open, report: Path) -> None:
    wide, narrow = "svg.wide", "svg.narrow"
    desk, phone = look(report, 1200), look(report, 360)
    assert (len(shown(desk, wide)), len(shown(desk, narrow))) == (1, 0)
    assert (len(shown(phone, wide)), len(shown(phone, narrow))) == (0, 1)


def test_a_table_is_sorted_by_a_click_on_its_head(look: Open, report: Path) -> None:
    page = look(report)
    assert column(page, BYTES) == ["260,000", "250,000", "750,000", "1,600,000"]
    head = page.get_by_role("columnheader", name="bytes")
    head.get_by_role("button").click()
    assert column(page, BYTES) == ["250,000", "260,000", "750,000", "1,600,000"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").click()
    assert column(page, BYTES) == ["1,600,000", "750,000", "260,000", "250,000"]
    assert head.get_attribute("aria-sort") == "descending"


def test_a_table_is_sorted_by_enter_too(look: Open, report: Path) -> None:
    page = look(report)
    page.get_by_role("columnheader", name="bytes").get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert column(page, BYTES)[0] == "250,000"


def test_only_the_column_that_was_sorted_by_last_says_so(look: Open, report: Path) -> None:
    page = look(report)
    page.get_by_role("columnheader", name="bytes").get_by_role("button").click()
    page.get_by_role("columnheader", name="type").get_by_role("button").click()
    assert column(page, "#files ~ .scroll th[aria-sort=ascending]") == ["type"]
    assert column(page, "#files ~ .scroll td:nth-child(2)") == ["float32", "int8", "int8", "int8"]


def test_what_was_not_measured_is_sorted_last_both_ways(look: Open, report: Path) -> None:
    page = look(report)
    button = page.get_by_role("columnheader", name="accuracy").first.get_by_role("button")
    for _ in range(2):
        button.click()
        assert column(page, "#files ~ .scroll tbody th")[-1] == "model.int8.pt2"


def test_the_select_shows_the_pictures_of_one_layer(look: Open, report: Path) -> None:
    page = look(report)
    select = page.get_by_label("Layer", exact=True)
    assert select.locator("option").all_inner_texts() == LAYERS
    assert seen_layers(page) == [LAYERS[0]]
    select.select_option(label=LAYERS[30])
    assert seen_layers(page) == [LAYERS[30]]
    assert len(shown(page, "details.layer")) == 1


def test_the_select_works_with_the_keyboard(look: Open, report: Path) -> None:
    page = look(report)
    page.get_by_label("Layer", exact=True).focus()
    page.keyboard.press("ArrowDown")
    assert seen_layers(page) == [LAYERS[1]]


def seen_layers(page: Page) -> list[str]:
    """Return the layers whose output's picture is to be seen, by what it says to those who do not see it."""
    labels = [str(one.get_attribute("aria-label")) for one in page.locator(".layer svg").all() if one.is_visible()]
    return [label.split(",")[0] for label in labels if ", output" in label]


def test_without_javascript_all_is_there(look: Open, report: Path) -> None:
    page = look(report, java_script_enabled=False)
    assert len(shown(page, "svg.picture")) == 9
    assert shown(page, "#layer") == []
    summaries = page.locator("details.layer > summary")
    assert (summaries.count(), len(shown(page, "details.layer > summary"))) == (45, 45)
    summaries.nth(4).click()
    assert len(shown(page, "svg.picture")) == 9 + 3
    assert page.locator("th button").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_the_ground(look: Open, report: Path, scheme: str) -> None:
    page = look(report, color_scheme=scheme)
    for selector in ("body", ".note", ".state", ".tiles dt"):
        assert contrast(page, selector) >= 4.5, selector


def contrast(page: Page, selector: str) -> float:
    """Return the contrast of WCAG between words and the page's ground."""
    colours = page.evaluate(
        "selector => [getComputedStyle(document.querySelector(selector)).color, "
        "getComputedStyle(document.body).backgroundColor]",
        selector,
    )
    light, dark = sorted((luminance(colour) for colour in colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(p) / 255 for p in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_script_in_a_name_does_not_run(look: Open, tmp_path: Path) -> None:
    evil = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    manifest = a_manifest(name=evil, warnings=[evil], passes=[evil], recipe={evil: evil}, target={"core": evil})
    manifest["verification"]["notes"] = [evil]
    evidence = an_evidence()
    for one in (evidence["layers"][-1], evidence["ranges"][0]):
        one["layer"] = evil
    evidence["disagreements"]["shown"][0] |= {"label": evil, "float": evil, "image": f'"{evil}'}
    path = tmp_path / "report.html"
    path.write_text(render_report(manifest, evidence), encoding="utf-8")
    page = look(path)
    assert page.title().endswith(": passed")
    assert page.locator("h1").inner_text() == evil
    assert page.locator("script").count() == 1
    assert page.locator("img").count() == 2


def test_a_script_that_got_in_would_not_run_either(chromium: Browser, report: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    smuggled = "<main><script>document.title='taken'</script><img src='http://127.0.0.1:9/x.png'>"
    path.write_text(report.read_text(encoding="utf-8").replace("<main>", smuggled), encoding="utf-8")
    page = chromium.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(path.as_uri())
    assert page.title() == "int8-qat: passed"
    assert len([text for text in refused if "Content Security Policy" in text]) == 2
    page.close()


def test_the_page_of_a_bare_run_says_what_is_not_there(look: Open, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_report({"outputs": {}}, None), encoding="utf-8")
    page = look(path, 360)
    assert page.locator(".state").inner_text().endswith("Not proven")
    assert shown(page, "svg") == []
    assert page.evaluate(SIDEWAYS) == 0


def test_the_comparison_opens_in_the_same_look(look: Open, tmp_path: Path) -> None:
    path = tmp_path / "compare.html"
    runs = [a_manifest(), a_manifest(seed=8)]
    comparison = compare_runs([("a", runs[0]), ("b", runs[1])])
    path.write_text(render_comparison(comparison, runs), encoding="utf-8")
    page = look(path, 360)
    assert page.evaluate(SIDEWAYS) == 0
    assert len(shown(page, "svg.picture")) == 1
    page.get_by_role("columnheader", name="a: bytes").get_by_role("button").click()
    assert column(page, "#artefacts ~ .scroll tbody th")[0] == "onnx"
