"""The page as a reader meets it, in headless Chromium; without one on the PATH these are skipped."""

import json

import numpy as np
import pytest
from browser import CHROMIUM, Browser

from mixcl_auto.io.images import write_image, write_labels
from mixcl_auto.records.case import Geometry
from mixcl_auto.reporting.report import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)")

SHAPE = (30, 24, 12)
GEOMETRY = Geometry(
    size=SHAPE,
    spacing_mm=(6.0, 6.0, 5.0),
    origin_mm=(0.0, 0.0, 0.0),
    direction=(1, 0, 0, 0, 1, 0, 0, 0, 1),
    orientation="LPS",
)
PIXELS = """
(() => { const canvas = document.querySelectorAll("#viewer canvas")[%d];
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let coloured = 0, sum = 0;
  for (let i = 0; i < data.length; i += 4) {
    sum += data[i];
    const rgb = [data[i], data[i + 1], data[i + 2]];
    if (Math.max(...rgb) - Math.min(...rgb) > 8) coloured++;
  }
  return {coloured, sum, width: canvas.width, height: canvas.height};
})()
"""
MIDDLE = """
(() => { const canvas = document.querySelectorAll("#viewer canvas")[%d];
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let places = 0, count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const rgb = [data[i], data[i + 1], data[i + 2]];
    if (Math.max(...rgb) - Math.min(...rgb) > 8) { places += (i / 4) %% canvas.width; count++; }
  }
  return places / count / canvas.width;
})()
"""
CHANGE = """
(() => { const control = document.querySelector('[data-part="%s"]');
  control.value = "%s"; control.dispatchEvent(new Event("%s")); })()
"""
SIZE = 'JSON.parse(document.getElementById("viewer-data").textContent)[0].size'
WHERE = "document.querySelector('[data-part=\"where\"]').textContent"


@pytest.fixture(scope="module")
def report_folder(module_lab):
    """A report on two arms with scans, predictions and logs."""
    lab = module_lab
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:15, 5:15, 3:9] = 1
    labels[20:26, 8:14, 5:8] = 2
    raw = lab.workspace.raw_data / "Target_1"
    raw.mkdir(parents=True)
    (raw / "dataset.json").write_text(json.dumps({"labels": {"liver": 1, "spleen": 2}}))
    scan = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 300 - 100
    for case in ("a", "b"):
        write_image(
            raw / "imagesTr" / f"{case}_0000.nii.gz", scan.astype(np.int16), (6.0, 6.0, 5.0), GEOMETRY
        )
        write_labels(raw / "labelsTr" / f"{case}.nii.gz", labels, GEOMETRY)
    for init, base in (("scratch", 0.5), ("mixcl", 0.6)):
        for fold in (0, 1):
            run = lab.finetune(
                init, 1.0, fold, {c: {"liver": base, "spleen": base - fold / 10} for c in "ab"}, log=True
            )
            for case in ("a", "b"):
                write_labels(
                    run.prediction(case), np.roll(labels, fold + (init == "mixcl"), axis=0), GEOMETRY
                )
    lab.pretrain(log=True)
    return write_report(lab.workspace, lab.plan, "plan")


@pytest.fixture
def page(report_folder, tmp_path):
    """The page open in a browser, and its folder."""
    with Browser(tmp_path / "profile") as browser:
        browser.open(report_folder.page)
        browser.wait_for('document.getElementById("viewer").dataset.ready === "0"')
        yield browser, report_folder


def test_the_page_loads_without_a_complaint_or_any_other_file(page):
    browser, folder = page
    assert browser.complaints == []
    assert browser.requests == [folder.page.resolve().as_uri()]
    assert browser.run("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")


def test_the_viewer_scrolls_zooms_and_shows_errors_and_organs(page):
    browser, _ = page
    assert browser.run('document.querySelectorAll("#viewer canvas").length') == 3
    columns, rows, slices = browser.run(SIZE)
    start = browser.run(PIXELS % 0)
    assert start["coloured"] > 500
    browser.run(CHANGE % ("slice", "4", "input"))
    assert browser.run(WHERE) == f"axial, slice 5 of {slices}"
    axial = browser.run(PIXELS % 0)
    assert axial["sum"] != start["sum"]
    browser.run(CHANGE % ("plane", "coronal", "input"))
    assert browser.run(WHERE).startswith("coronal, slice ")
    coronal = browser.run(PIXELS % 0)
    assert coronal["height"] == round(480 * slices * 5 / (columns * 6))
    browser.run(CHANGE % ("plane", "sagittal", "input"))
    assert browser.run(PIXELS % 0)["height"] == round(480 * slices * 5 / (rows * 6))
    browser.run(CHANGE % ("plane", "axial", "input"))
    browser.run(CHANGE % ("zoom", "4", "input"))
    assert browser.run(PIXELS % 0)["sum"] != axial["sum"]
    browser.run(CHANGE % ("zoom", "1", "input"))
    browser.run(CHANGE % ("opacity", "0", "input"))
    assert browser.run(PIXELS % 0)["coloured"] == 0
    browser.run(CHANGE % ("opacity", "60", "input"))
    before = browser.run(PIXELS % 1)["coloured"]
    browser.run("document.querySelector('[data-part=\"errors\"]').click()")
    assert 0 < browser.run(PIXELS % 2)["coloured"] < before
    browser.run("document.querySelector('[data-part=\"errors\"]').click()")
    browser.run('document.querySelectorAll("#viewer .legend input").forEach((box) => box.click())')
    assert browser.run(PIXELS % 0)["coloured"] == 0


def test_the_patients_right_is_on_the_left(page):
    """The liver of the phantom lies at low x, the patient's left, so on the right of the picture."""
    browser, _ = page
    browser.run('document.querySelectorAll("#viewer .legend input")[1].click()')
    assert browser.run('document.querySelector("#viewer canvas").dataset.sides') == "RL"
    assert browser.run(MIDDLE % 0) > 0.55
    browser.run('document.querySelectorAll("#viewer .legend input").forEach((box) => box.click())')
    assert browser.run(MIDDLE % 0) < 0.4
    browser.run(CHANGE % ("plane", "sagittal", "input"))
    assert browser.run('document.querySelector("#viewer canvas").dataset.sides') == "AP"


def test_errors_of_hidden_organs_are_hidden(page):
    browser, _ = page
    browser.run("document.querySelector('[data-part=\"errors\"]').click()")
    assert browser.run(PIXELS % 2)["coloured"] > 0
    browser.run('document.querySelectorAll("#viewer .legend input").forEach((box) => box.click())')
    assert browser.run(PIXELS % 2)["coloured"] == 0


def test_the_viewer_follows_keys_clicks_and_the_choice_of_a_case(page):
    browser, _ = page
    columns, rows, slices = browser.run(SIZE)
    browser.run(CHANGE % ("slice", "3", "input"))
    # the page scrolls smoothly, and would still do so when the click comes
    browser.run('document.querySelector("#viewer canvas").focus({preventScroll: true})')
    press = {"key": "ArrowUp", "code": "ArrowUp", "windowsVirtualKeyCode": 38}
    browser.call("Input.dispatchKeyEvent", type="keyDown", **press)
    assert browser.run(WHERE) == f"axial, slice 5 of {slices}"
    browser.run(
        'document.getElementById("viewer").scrollIntoView({behavior: "instant"}); '
        'document.querySelector("#viewer canvas").scrollIntoView({behavior: "instant", block: "center"})'
    )
    box = browser.run(
        '(() => { const b = document.querySelector("#viewer canvas").getBoundingClientRect();'
        " return [b.left, b.top, b.width, b.height]; })()"
    )
    point = {"x": box[0] + box[2] * 0.27, "y": box[1] + box[3] * 0.77, "button": "left", "clickCount": 1}
    browser.call("Input.dispatchMouseEvent", type="mousePressed", **point)
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", **point)
    browser.run(CHANGE % ("plane", "coronal", "input"))
    assert browser.run(WHERE) == f"coronal, slice {int(0.77 * rows) + 1} of {rows}"
    browser.run(CHANGE % ("plane", "sagittal", "input"))
    assert browser.run(WHERE) == f"sagittal, slice {int(0.27 * columns) + 1} of {columns}"
    browser.run(CHANGE % ("case", "1", "change"))
    browser.wait_for('document.getElementById("viewer").dataset.ready === "1"')
    assert browser.complaints == []


def test_links_lead_to_sections_and_to_files(page):
    browser, folder = page
    hrefs = browser.run('[...document.querySelectorAll("a")].map((one) => one.getAttribute("href"))')
    assert len(hrefs) > 20
    for href in hrefs:
        if href.startswith("#"):
            browser.run(f"document.querySelector('a[href=\"{href}\"]').click()")
            assert browser.run("location.hash") == href
            assert browser.run(f'document.querySelector("{href} h2") !== null')
        else:
            assert (folder.path / href).is_file(), href


@pytest.mark.parametrize("width", [360, 820, 1900])
def test_the_page_is_no_wider_than_the_screen(page, width):
    browser, _ = page
    browser.resize(width, 800)
    browser.run('document.querySelectorAll("details").forEach((one) => { one.open = true; })')
    assert browser.run("document.documentElement.scrollWidth") <= width
    widest = 'Math.max(...[...document.querySelectorAll("canvas")].map((one) => one.clientWidth))'
    assert browser.run(widest) >= min(200, width)


def test_print_has_the_folded_parts_and_no_controls(page):
    browser, _ = page
    browser.call("Page.printToPDF")
    assert browser.run('document.querySelectorAll("details:not(.plan):not([open])").length') == 0
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run('getComputedStyle(document.getElementById("viewer")).display') == "none"
    assert browser.run('getComputedStyle(document.querySelector("nav")).display') == "none"
    printed = browser.run("document.body.innerText")
    assert "The worst case of each organ" in printed
    assert "Decisions of the planner" in printed
    assert "The whole plan" not in printed
