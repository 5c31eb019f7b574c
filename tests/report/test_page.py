import dataclasses
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gedanken.errors import ConfigError, FileError
from gedanken.report.comparison import render_comparison, write_comparison
from gedanken.report.data import NotMeasured, ReportData
from gedanken.report.page import render, write_report
from gedanken.report.sections import SECTIONS
from gedanken.report.theme import swaps
from tests.report.example import bare_report, full_report, without_check


@pytest.fixture(scope="module")
def data() -> ReportData:
    return full_report()


@pytest.fixture(scope="module")
def page(data: ReportData) -> str:
    return render(data)


class Loads(HTMLParser):
    """Everything that makes a browser fetch something, and the text a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.elements: list[str] = []
        self.words: list[str] = []
        self.styles: list[str] = []
        self.scripts: dict[str, str] = {}
        self._inside = ("", "")
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.elements.append(tag)
        self._inside = (tag, given.get("id") or "")
        self.fetched += [given[name] for name in ("src", "srcset", "data", "poster") if given.get(name)]
        if tag == "link":
            self.fetched.append(given["href"])
        if given.get("style"):
            self.styles.append(given["style"])

    def handle_endtag(self, tag):
        self._inside = ("", "")

    def handle_data(self, data):
        tag, name = self._inside
        if tag == "script":
            self.scripts[name] = self.scripts.get(name, "") + data
        elif tag == "style":
            self.styles.append(data)
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_the_file_loads_nothing_and_forbids_itself_to(page: str) -> None:
    found = Loads(page)
    assert found.fetched == ["data:,"]
    assert not {"iframe", "object", "embed", "img", "base", "form"} & set(found.elements)
    assert not any("url(" in style or "@import" in style for style in found.styles)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy and policy[1].startswith("default-src 'none'") and "http" not in policy[1]


def test_it_is_one_file_of_bearable_size_with_plotly_once(data: ReportData, tmp_path: Path) -> None:
    path = write_report(tmp_path / "run", data)
    assert path == tmp_path / "run" / "report.html" and path.stat().st_size < 6_000_000
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    both = write_comparison(tmp_path / "both.html", [data, data])
    assert both.stat().st_size < 6_000_000 and both.read_text().count("plotly.js v") == 1


def test_every_section_is_there_with_its_numbers(page: str, data: ReportData) -> None:
    found = Loads(page)
    for part in SECTIONS:
        assert f'id="{part.anchor}"' in page and f'href="#{part.anchor}"' in page and part.title in found.text
    top = data.headline
    for expected in (
        "InvertedPendulum-v5",
        "1,480 steps",
        "412,000 steps",
        "278 for each paid step",
        "9,871 steps to check",
        "7,500 steps",
        "SAC (Stable-Baselines3)",
        str(top.real_return).split(",")[0],
        "model.layer_norm yes",
        "gedanken run robotics --world InvertedPendulum-v5",
        "2 min 07 s",
        "50 entries, hash-chained",
        "refused: does not know 17",
        "Held-out episodes 8",
        "It knows the reward of a step no refuted",
        "To judge what is safe (no ending among 90 steps)",
        "From 10 real episodes of the agent, and 40 logged ones of others",
        "it listens",
        "A point is a policy",
        "mmrv ties to better",
        "policy abstains",
        "Optimised by value_gradient",
    ):
        assert expected in found.text, expected
    assert "not measured :" not in found.text


def test_figures_hold_only_colours_that_have_a_dark_partner(page: str) -> None:
    scripts = Loads(page).scripts
    figures = json.loads(scripts["figures"])
    assert len(figures) >= 10 and all(f'id="{figure["id"]}"' in page for figure in figures)
    known = json.loads(scripts["swaps"])
    assert known == swaps() and not set(known) & set(known.values())
    used = set(re.findall(r"#[0-9a-f]{6}|rgba\(\d+,\d+,\d+,", json.dumps(figures)))
    assert used - {"rgba(0,0,0,"} <= set(known)


def test_what_is_missing_says_why() -> None:
    text = Loads(render(bare_report())).text
    assert text.count("not measured") >= len(SECTIONS) - 1
    assert "the budget ended before the check" in text and "no benchmark file holds this world" in text
    reason = NotMeasured("the model was never asked")
    assert (
        "not measured : the model was never asked"
        in Loads(render(dataclasses.replace(bare_report(), fidelity=reason))).text
    )


def test_one_checking_episode_shows_a_number_without_an_interval(data: ReportData) -> None:
    text = Loads(render(without_check(data))).text
    assert "In 1 real episode it earns 940." in text and "no interval: one value has no spread, 1 real episode" in text


def test_an_unreconciled_entry_is_shown_as_a_warning(data: ReportData) -> None:
    entry = {"action_id": "learn-17", "account": "learn", "at_most": {"steps": 1}}
    ledger = dataclasses.replace(data.ledger, unknown=[entry])
    text = Loads(render(dataclasses.replace(data, ledger=ledger))).text
    assert "1 entry whose outcome is not known" in text and "learn-17" in text and "No entry is left" not in text


def test_nothing_a_run_is_called_becomes_markup(data: ReportData) -> None:
    evil = '</script><script>alert(1)</script><img src="http://x.test/a.png">&'
    bad = dataclasses.replace(
        data,
        headline=dataclasses.replace(
            data.headline, world=evil, reference=dataclasses.replace(data.headline.reference, method=evil, source=evil)
        ),
        trajectories=dataclasses.replace(data.trajectories, names=[evil] * 4, given=evil),
        ledger=dataclasses.replace(
            data.ledger,
            balances=[{evil: evil, "spent": 1}],
            unknown=[{"action_id": evil}],
            spending=[dataclasses.replace(data.ledger.spending[0], account=evil, resource=evil)],
            head=evil,
        ),
        decisions=dataclasses.replace(data.decisions, mode=evil, counts={evil: 1}, rows=[{"reason": evil}]),
        curation={evil: {evil: evil}},
        config={evil: evil},
        measured={"command": evil},
        learning=NotMeasured(evil),
    )
    for made in (render(bad), render_comparison([bad, bad])):
        found = Loads(made)
        assert found.fetched == ["data:,"] and "img" not in found.elements
        assert found.elements.count("script") == 4


def test_several_worlds_share_a_page(data: ReportData) -> None:
    found = Loads(render_comparison([data, bare_report()]))
    assert "InvertedPendulum-v5 and Pendulum-v1" in found.text and "Real return" in found.text
    ids = re.findall(r' id="([^"]+)"', render_comparison([data, data]).split("<script", 1)[0])
    assert len(ids) == len(set(ids)) and "run-1-fidelity" in ids
    with pytest.raises(ConfigError, match="nothing to compare"):
        render_comparison([])


def test_a_folder_that_cannot_be_written_is_a_clear_error(data: ReportData, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    with pytest.raises(FileError, match=r"cannot be written.*run.*Do:"):
        write_report(tmp_path / "run", data)
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_an_old_report_survives_a_write_that_fails(
    data: ReportData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_report(tmp_path, data)
    before = path.read_bytes()

    def full(self, text, **_):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(FileError, match="No space left"):
        write_report(tmp_path, data)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["report.html"]


def browse(path: Path, profile: Path) -> tuple[str, str]:
    """The page as a browser without a network built it, and what the browser had to say."""
    quiet = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
    quiet += " --disable-sync --no-first-run --enable-logging=stderr --virtual-time-budget=8000 --dump-dom"
    shown = subprocess.run(
        [
            "chromium",
            *quiet.split(),
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={profile}",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return shown.stdout, shown.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
def test_a_browser_draws_every_figure_and_asks_the_network_for_nothing(page: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page)
    drawn, said = browse(tmp_path / "report.html", tmp_path / "profile")
    figures = len(json.loads(Loads(page).scripts["figures"]))
    assert len(re.findall(r'class="plot[^"]*js-plotly-plot', drawn)) == figures
    complaint = r"Uncaught|Content Security Policy"
    assert not re.search(complaint, said), said
    # The control: had the page asked for anything, its own policy would have refused it, audibly.
    (tmp_path / "asks.html").write_text(page.replace("<main>", '<main><img src="http://x.test/a.png">'))
    assert re.search(complaint, browse(tmp_path / "asks.html", tmp_path / "profile")[1])
