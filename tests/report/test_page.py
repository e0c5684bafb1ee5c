from __future__ import annotations

import dataclasses
import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fabricated import conditional_study, fabricate_study, one_validation_image

from lrpsweep.report.page import render_page, write_report
from lrpsweep.results import StudyResults, TrialRecord

PIXEL = b"\x89PNG\r\n\x1a\n"
HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>\'"&'


class Tags(HTMLParser):
    """Every tag with its attributes, and whether they are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(study: StudyResults) -> str:
    return render_page(study, {"contour": PIXEL})


def test_the_verdict_comes_first(page: str) -> None:
    body = page[page.index("<body") :]
    order = ["EpsilonGammaBox is as good", "SRG is worse", "Recommended", "<figure", "Study</h2>"]
    assert [body.index(words) for words in order] == sorted(body.index(words) for words in order)


def test_nothing_is_loaded_from_outside_and_nothing_runs(page: str) -> None:
    tags = Tags(page).found
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in tags}
    sources = [v for _, attrs in tags for k, v in attrs.items() if k in ("src", "href")]
    assert sources
    assert all(source and source.startswith("data:image/png;base64,") for source in sources)
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?://", page)


def test_comparisons_are_listed_with_their_intervals(page: str) -> None:
    row = next(r for r in page.split("<tr>") if "LRP-Decreasing-γ" in r)
    for text in ("3.660", "−0.2600", "−0.4900 to −0.06000", "0.012", "better"):
        assert text in row


def test_trials_are_sorted_by_the_objective_and_failures_say_why(
    page: str, study: StudyResults
) -> None:
    table = page[page.index("Trials</h2>") :]
    numbers = [int(n) for n in re.findall(r"<tr[^>]*><td>(\d+)</td>", table)]
    assert numbers == [t.number for t in study.ranked()] + [17]
    assert "the logit of image 4 is NaN" in table


def test_study_file_provenance_and_composite_are_on_the_page(
    page: str, study: StudyResults
) -> None:
    assert html.escape(study.spec_text) in page
    assert study.spec_hash in page
    assert "<dt>torch</dt><dd>2.13.0</dd>" in page
    assert "composite.json" in page


def test_hostile_text_is_escaped_everywhere(study: StudyResults) -> None:
    found = study.recommendation
    assert found is not None
    name = HOSTILE
    hostile = dataclasses.replace(
        study,
        name=name,
        objective=name,
        axes=tuple(dataclasses.replace(axis, name=name) for axis in study.axes),
        trials=(
            *(
                dataclasses.replace(t, values={name: HOSTILE}, literature=name, reason=name)
                for t in study.trials
            ),
            TrialRecord(99, "failed", {name: HOSTILE}, reason=HOSTILE),
        ),
        spec_text=HOSTILE,
        spec_hash=HOSTILE,
        provenance={HOSTILE: HOSTILE},
        composite={HOSTILE: HOSTILE},
        recommendation=dataclasses.replace(
            found,
            values={HOSTILE: HOSTILE},
            sentence=HOSTILE,
            warnings=(HOSTILE,),
            comparisons=tuple(dataclasses.replace(c, baseline=HOSTILE) for c in found.comparisons),
            finalists=tuple(
                dataclasses.replace(f, label=name, values={name: name}, scores={name: 1.0})
                for f in found.finalists
            ),
        ),
    )
    page = render_page(hostile, {"contour": PIXEL})
    tags = Tags(page).found
    assert "script" not in {tag for tag, _ in tags}
    assert [attrs for tag, attrs in tags if tag == "img"] == [
        {"src": "data:image/png;base64,iVBORw0KGgo=", "alt": "Objective over the hyperparameters"}
    ]
    assert page.count("&lt;script&gt;") > 100


def rows(page: str) -> dict[str, list[str]]:
    """The cells of every row, by the first."""
    found = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in page.split("<tr")[1:]]
    return {html.unescape(cells[0]): cells for cells in found if cells}


def test_absent_hyperparameters_and_remarks_are_in_the_table_of_trials() -> None:
    found = rows(render_page(conditional_study(), {}))
    assert found["trial"][:5] == ["trial", "early.gamma", "rule", "late.gamma", "late.epsilon"]
    assert found["trial"][-1] == "remarks"
    assert found["2"][2:5] == ["z_plus", "–", "–"]
    assert found["0"][2] == "gamma"
    assert found["0"][3] != "–"
    assert found["0"][-1] == ""
    assert found["20"][-1] == "same composite as trial 2"
    assert found["7 †"][-1] == (
        "exceeds the constraint of hot_spot; unstable: features.12: R is 4e9 times its input"
    )


def test_trials_without_remarks_have_no_column_for_them(page: str) -> None:
    assert "remarks" not in page


def test_the_balance_of_the_recommended_trial_is_told_block_by_block(page: str) -> None:
    found = rows(page)
    assert "Trial 39, mean over the search images. Bias" in page
    assert found["late"] == ["late", "0.07", "0", "1e-07", "0.11"]


def test_a_study_without_a_recommendation_says_so() -> None:
    page = render_page(fabricate_study(recommendation=None), {})
    assert "Not validated." in page
    assert "trial 39" in page


def test_a_single_validation_image_has_no_interval(study: StudyResults) -> None:
    page = render_page(one_validation_image(study), {})
    assert "3.400</strong>, 95 % interval — to —" in page
    row = next(r for r in page.split("<tr>") if "LRP-Decreasing-γ" in r)
    assert "<td>— to —</td><td>—</td><td>—</td>" in row
    assert not re.search(r"\bnan\b", page)


@pytest.mark.parametrize("trials", [(), (TrialRecord(0, "failed", {}, reason="boom"),)])
def test_a_study_without_results_has_a_page(trials: tuple[TrialRecord, ...]) -> None:
    study = fabricate_study(
        trials=trials, axes=(), recommendation=None, illustrations=None, composite=None
    )
    page = render_page(study, {})
    assert "No trial is complete." in page
    assert ("boom" in page) == bool(trials)


def test_writing_replaces_the_page_in_one_step(tmp_path: Path, study: StudyResults) -> None:
    path = tmp_path / "new folder" / "report.html"
    write_report(study, path)
    first = path.read_text(encoding="utf-8")
    assert first.count("<figure>") == 7
    write_report(dataclasses.replace(study, name="again"), path)
    assert "<h1>again</h1>" in path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
