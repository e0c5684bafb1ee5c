from __future__ import annotations

import dataclasses
import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fabricated import (
    LITERATURE,
    concluded_study,
    conditional_study,
    dropped_study,
    fabricate_study,
    one_validation_image,
    raced_study,
)

from lrpsweep.report.page import render_page, write_report
from lrpsweep.report.words import trial_counts
from lrpsweep.results import Contender, StudyResults, TrialRecord

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
    order = ["EpsilonGammaBox is as good", "SRG is worse", "The nominee", "<figure", "Study</h2>"]
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


def test_baselines_that_were_not_scored_on_all_images_say_so_in_both_tables() -> None:
    study = dropped_study()
    text = render_page(study, {})
    assert study.recommendation is not None
    assert text.count(f"{study.recommendation.comparisons[0].baseline} (32 images)</td>") == 2
    assert text.count("(32 images)") == 2
    assert "was clearly behind on these, and not scored on the others; its interval" in text
    assert "(32 images)" not in render_page(concluded_study(), {})


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
        objectives=(name,),
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
    assert "Nominee (trial 39), mean over the search images. Bias" in page
    assert found["late"] == ["late", "0.07", "0", "1e-07", "0.11"]


def test_a_study_without_a_recommendation_says_so() -> None:
    page = render_page(fabricate_study(recommendation=None), {})
    assert "Not validated</p>" in page
    assert "trial 39" in page


def test_a_single_validation_image_has_no_interval(study: StudyResults) -> None:
    page = render_page(one_validation_image(study), {})
    assert "3.400</strong>, 95 % interval — to —" in page
    row = next(r for r in page.split("<tr>") if "LRP-Decreasing-γ" in r)
    assert "<td>— to —</td><td>—</td><td>—</td>" in row
    assert not re.search(r"\bnan\b", page)


@pytest.fixture(scope="module")
def concluded() -> StudyResults:
    return concluded_study(current="No different from what you use today (epsilon_plus).")


def test_the_statement_comes_first_with_what_is_used_today(concluded: StudyResults) -> None:
    found = concluded.recommendation
    assert found is not None
    page = render_page(concluded, {})
    top = page[page.index("</header>") : page.index("<h2>")]
    assert found.verdict == "better"
    assert '<div class="verdict good">' in top
    assert found.sentence in top
    assert "No different from what you use today" in top


@pytest.mark.parametrize(
    ("validated", "look", "verdict", "tone"),
    [(1.95, 3, "as good", "fair"), (3.0, 1, "worse", "poor"), (1.5, 12, "undecided", "")],
)
def test_a_verdict_has_a_colour(validated: float, look: int, verdict: str, tone: str) -> None:
    page = render_page(concluded_study(validated=validated, look=look), {})
    assert f'<div class="verdict {tone}"><p class="kind">{verdict}</p>' in page


def test_how_the_nominee_was_chosen_is_told(concluded: StudyResults) -> None:
    nomination = concluded.nomination
    assert nomination is not None
    assert nomination.stability is not None
    page = render_page(concluded, {})
    section = page[page.index("How it was chosen") : page.index("Against the literature")]
    assert nomination.sentence in section
    assert f"the same region in {100 * nomination.stability.region:.0f} %" in section
    found = rows(section)
    (best, *_) = nomination.finalists
    expected = [f"{scores['srg']:#.4g}" for scores in (best.scores, best.selection)]
    assert [found["trial 39"][2], found["trial 39"][5]] == expected
    assert found["random order"][2:5] == ["0.000", "7.770", "7.770"]
    assert found["range"][3] == f"{nomination.ranges['auc_morf']:#.4g}"


def test_bounds_rows_and_images_needed_are_listed(concluded: StudyResults) -> None:
    page = render_page(concluded, {})
    start = page.index("Against the literature")
    bounds = rows(page[start : page.index("image by image")])
    assert bounds["SRG"][1:] == [
        "objective", "0.7151", "+9.3 %", "7.694", "5 %", "epsilon_gamma_box"
    ]  # fmt: skip
    assert bounds["AUC (MoRF)"][1] == "guard"
    assert "tested at 4 %, look 1" in page
    head = rows(page[page.index("image by image") :])["baseline"]
    assert head[3:6] == ["92 % interval", "p", "p (Hochberg)"]
    assert "would show it" not in page
    behind = render_page(concluded_study(validated=1.95), {})
    assert "would show it better: more images will not show it; as good: these 40." in behind


def test_a_random_order_stands_beside_the_validated(concluded: StudyResults) -> None:
    page = render_page(concluded, {})
    found = rows(page[page.index("On the validation images") :])
    assert found["composite"][2:] == ["SRG", "AUC (MoRF)", "AUC (LeRF)"]
    order = [
        label for label in found if label in LITERATURE or label in ("trial 39", "random order")
    ]
    assert order[:2] == ["trial 39", "epsilon_gamma_box"]
    assert order[-1] == "random order"
    assert found["random order"][2] == "0.000"
    assert found["trial 39"][1] == "early.gamma = 0.1585, late.gamma = 0.02512"


def test_trials_below_the_floor_are_marked(concluded: StudyResults) -> None:
    page = render_page(concluded, {})
    found = rows(page[page.index("Trials</h2>") : page.index("Failed</h3>")])
    assert found["0 †"][-1] == "AUC (MoRF) is 8.52, no better than the 7.77 of a random order"
    assert found["39"][-1] == ""
    assert found["trial"][5:7] == ["AUC (MoRF)", "AUC (LeRF)"]


def test_a_published_nominee_has_a_name_and_no_hyperparameters() -> None:
    study = concluded_study({**LITERATURE, "epsilon_gamma_box": 1.2}, validated=1.2)
    page = render_page(study, {})
    assert "Tuning found nothing better than epsilon_gamma_box" in page
    assert "better: a published composite</p>" in page
    assert "epsilon_gamma_box, as published" in page
    assert '<th class="text">hyperparameter</th>' not in page
    assert '<tr class="best"><td>' not in page, "no trial is the nominee"


def test_nothing_recommended_says_why() -> None:
    page = render_page(concluded_study(chance=0.6), {})
    assert "Nothing recommended</p><p>None of the 51 candidates may be nominated" in page
    assert "Why nothing was chosen" in page
    assert "The nominee" not in page
    assert "epsilon_plus: AUC (MoRF) is 6.87, no better than the 3.67 of a random order." in page


def test_a_nominee_that_was_not_compared_is_not_called_recommended() -> None:
    page = render_page(concluded_study(validated=None), {})
    assert "Not validated</p><p>Nominated: trial 39" in page


def test_a_nominee_that_changed_since_is_told(concluded: StudyResults) -> None:
    nomination = concluded.nomination
    assert nomination is not None
    other = Contender("epsilon_plus", published="epsilon_plus")
    later = dataclasses.replace(nomination, nominee=other)
    page = render_page(dataclasses.replace(concluded, nomination=later), {})
    assert "Nominated since then: epsilon_plus, which is not validated yet." in page


def test_results_of_earlier_versions_keep_their_words(page: str) -> None:
    assert "p (Holm)" in page
    assert "95 % BCa intervals" in page
    assert "at least better" not in page
    assert "How it was chosen" not in page


@pytest.mark.parametrize("trials", [(), (TrialRecord(0, "failed", {}, reason="boom"),)])
def test_a_study_without_results_has_a_page(trials: tuple[TrialRecord, ...]) -> None:
    study = fabricate_study(
        trials=trials, axes=(), recommendation=None, illustrations=None, composite=None
    )
    page = render_page(study, {})
    assert "No trial is complete." in page
    assert ("boom" in page) == bool(trials)


def test_stopped_trials_have_a_table_of_their_own() -> None:
    study = raced_study(["early.gamma", "late.gamma"])
    page = render_page(study, {})
    assert "60 trials, 14 complete, 44 stopped early, 2 failed</p>" in page
    start = page.index("<h3>Stopped early</h3>")
    found = rows(page[start : page.index("<h3>Failed</h3>")])
    first = study.pruned[0]
    assert first.pruned is not None
    assert list(found)[1:] == [str(trial.number) for trial in study.pruned]
    assert found[str(first.number)][3:] == [
        f"≈ {first.pruned.estimate:#.4g}",
        f"stopped early after {first.pruned.images} images",
    ]
    assert str(first.number) not in rows(page[page.index("Trials</h2>") : start])


def test_a_study_that_stopped_no_trial_has_no_table_for_it(page: str) -> None:
    assert "Stopped early" not in page
    assert "49 trials, 48 complete, 1 failed</p>" in page


def test_trials_that_are_missing_are_counted(study: StudyResults) -> None:
    waiting = TrialRecord(49, "running", {})
    half = dataclasses.replace(study, trials=(*study.trials, waiting), planned=60)
    assert trial_counts(half) == "50 of 60 trials, 48 complete, 1 failed, 1 unfinished"


def test_writing_replaces_the_page_in_one_step(tmp_path: Path, study: StudyResults) -> None:
    path = tmp_path / "new folder" / "report.html"
    write_report(study, path)
    first = path.read_text(encoding="utf-8")
    assert first.count("<figure>") == 7
    write_report(dataclasses.replace(study, name="again"), path)
    assert "<h1>again</h1>" in path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
