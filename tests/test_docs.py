"""README and docs are run: Python blocks and commands, in an empty folder, on tiny inputs."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import sys
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("cv2")

from ma2mi.cli import app, commands, main
from ma2mi.datasets.manifest import COLUMNS
from ma2mi.datasets.synthetic import write_corpus
from ma2mi.experiment.entries import BUILDERS
from ma2mi.models.catalog import MODELS, startable
from ma2mi.synthesis import SyntheticSettings
from ma2mi.testing import write_fake

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += [ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md")]
PARTS = re.compile(r"^#+ ([^\n]*)|^(```)(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
MANIFEST = "path,subject,"

#: What makes a call short, appended to it: on a tiny video the rest is as in the docs.
SHORT = {
    "analyze": "--jobs 1",
    "prepare": "--jobs 1",
    "pretrain": "--size 64 --epochs 1 --epoch-steps 2 --batch-size 4 --accelerator cpu --jobs 1",
    "benchmark": "--epochs 1 --jobs 1",
    "train": "--flow dis --jobs 1",
    "explain": "--clips 2 --jobs 1",
}
#: Calls that a test cannot make (a camera, a cluster, two GPUs) or that take a minute: parsed only.
PARSED = ("--camera", "--cluster", "--devices", "demo", "synthetic-macro", "synthetic-micro")
PARSED += ("cd6me", "review")
#: The fakes that stand for DIR, a licensed copy.
LICENSED = ("casme2", "samm", "smic", "megc2019-flow")

MADE = ("talk.mp4", "my_videos", "my_study", "my_annotations", "runs/mine")
TABLES = {
    "predictions.csv": "key,label\na,negative\nb,positive\nc,negative\nd,surprise\n",
    "truth.csv": "key,label\na,negative\nb,positive\nc,surprise\nd,surprise\n",
    "spotted.csv": "vid,pred_onset,pred_offset,type\n006_1,100,140,me\n",
    "events.csv": "vid,pred_onset,pred_offset,type\n006_1,98,140,me\n",
    "recognised.csv": "subject,video,onset,offset,emotion\n006,006_1,100,140,negative\n",
    "anna.csv": "start_s,end_s,emotion\n1.0,1.4,happiness\n3.0,3.2,anger\n",
    "ben.csv": "start_s,end_s,emotion\n1.02,1.4,happiness\n3.0,3.2,disgust\n",
    "coded.csv": "subject,video,onset,offset,emotion\n006,006_1,98,140,negative\n",
}


class Section(NamedTuple):
    """A heading of a page, and its blocks: (language, text)."""

    page: Path
    heading: str
    blocks: list[tuple[str, str]]


def sections():
    found = {}
    for page in PAGES:
        heading = ""
        # A line that starts with "#" inside a block is a comment.
        for title, block, language, text in PARTS.findall(page.read_text("utf-8")):
            heading = title or heading
            if block and (language in ("sh", "python", "toml") or text.startswith(MANIFEST)):
                section = found.setdefault((page, heading), Section(page, heading, []))
                section.blocks.append((language, text))
    return [
        pytest.param(
            section,
            id=f"{section.page.stem}-{section.heading}",
        )
        for section in found.values()
    ]


def calls(text):
    """The words of each command of a shell block."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "PYTHONPATH=.":
            words = words[1:]
        if words:
            yield words


class Inputs:
    """What the docs name, made when it is first asked for: a video, a study, tables, fakes."""

    def __init__(self, root):
        self.root = root

    def __call__(self, name):
        """The path of ``name``."""
        path = self.root / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            if name in TABLES:
                path.write_text(TABLES[name], "utf-8")
            elif path.parent.name == "licensed":
                write_fake(path.name, path)
            elif name == "my_annotations":
                write_fake("annotations", path)
            else:
                {
                    "my_study": self.study,
                    "my_videos": self.videos,
                    "talk.mp4": self.video,
                    "runs/mine": self.weights,
                }[name](path)
        return path

    def study(self, path):
        quick = SyntheticSettings(size=160, macro_duration_s=(0.6, 0.8))
        manifest = write_corpus(
            "synthetic-macro", path, subjects=3, clips_per_subject=3, seed=0, settings=quick
        )
        words = re.compile(r"\b(anger|contempt|disgust|fear|repression|sadness),")
        manifest.write_text(words.sub("negative,", manifest.read_text("utf-8")), "utf-8")

    def videos(self, path):
        path.mkdir()
        for clip in sorted(self("my_study").rglob("*.mp4"))[::2]:
            shutil.copy(clip, path)

    def video(self, path):
        shutil.copy(min(self("my_study").rglob("*.mp4")), path)

    def weights(self, path):
        words = ["pretrain", "--videos", str(self("my_videos")), "--out", str(path)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["ma2mi", *shorter(words)])
            with pytest.raises(SystemExit) as ended:
                main()
        assert not ended.value.code


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    return Inputs(tmp_path_factory.mktemp("docs"))


def provide(text, inputs, folder):
    """Copy what the text names and does not make itself."""
    made = set(re.findall(r"--out (\S+)", text))
    for name in (*MADE, *TABLES):
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) and name not in made:
            target = folder / name
            target.parent.mkdir(exist_ok=True)
            source = inputs(name)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)


def licensed(words, inputs):
    """The words with the fake of the corpus that is named in place of DIR."""
    name = next((w for w in words if w in LICENSED), "")
    for word in words:
        corpus, equals, place = word.partition("=")
        if place == "DIR":
            yield f"{corpus}{equals}{inputs(f'licensed/{corpus}')}"
        else:
            yield str(inputs(f"licensed/{name}")) if word == "DIR" else word


def parse(words):
    """Every option and its value are ones that the command takes; runs nothing."""
    command, context = typer.main.get_command(app), None
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
        context = command.make_context(name, list(words), parent=context, resilient_parsing=True)
    command.make_context(name, list(words), parent=context)


def outs(words):
    """What ``--out`` names."""
    return {made for option, made in pairwise(words) if option == "--out"}


def shorter(words):
    command = words[0]
    extra = SHORT.get(command, "").split()
    if command == "pretrain" and "--simulator" not in words:
        extra += ["--pairs-per-clip", "8", "--flow", "dis"]
    if command == "benchmark" and "megc2019-flow" not in words:
        extra += ["--flow", "dis"]
    if "--learning-curve" in words:
        extra += ["--learning-curve", "2", "--draws", "1"]
    return [*words, *extra]


def call(words, ma2mi, inputs, folder, absent):
    """Run a command of a shell block, or check what it is made of.

    What reads the results of a call that was only parsed is only parsed, too.
    """
    program, *words = words
    if program == "make":
        makefile = (ROOT / "Makefile").read_text("utf-8")
        assert set(words) <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    elif program == "pip":
        extras = re.findall(r"ma2mi\[([\w,]+)\]", " ".join(words))
        project = (ROOT / "pyproject.toml").read_text("utf-8")
        assert extras
        assert all(f"\n{e} = [" in project for names in extras for e in names.split(","))
    elif program == "python":
        assert (ROOT / words[0]).is_file()
    else:
        assert Path(program).name == "ma2mi", program
        words = list(licensed(words, inputs))
        if any(word in words for word in (*PARSED, *absent)):
            parse(words)
            absent.update(outs(words))
            return
        code, out, err = ma2mi(*shorter(words))
        assert code == 0, (words, out, err)
        for made in outs(words):
            assert (folder / made).exists(), words


@pytest.mark.parametrize("section", sections())
def test_blocks_run(section, ma2mi, inputs, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)  # PYTHONPATH=.
    provide("\n".join(text for _, text in section.blocks), inputs, tmp_path)
    absent: set[str] = set()
    for language, text in section.blocks:
        if language == "sh":
            for words in calls(text):
                call(words, ma2mi, inputs, tmp_path, absent)
        elif language == "python":
            file = re.match(r"# (\w+\.py)\n", text)
            path = tmp_path / (file[1] if file else "block.py")
            path.write_text(text, "utf-8")
            runpy.run_path(str(path))
        elif language == "toml":
            (tmp_path / re.match(r"# (\w+\.toml)\n", text)[1]).write_text(text, "utf-8")
        else:
            assert set(text.partition("\n")[0].split(",")) <= set(COLUMNS)
    described(tmp_path)


def described(folder):
    """Every file in a folder of results is in the reference."""
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    names = [name.partition("/")[0] for name in re.findall(r"`([^`\s]+)`", text)]
    for name in ("analysis.json", "run.json", "settings.json"):
        for result in folder.rglob(name):
            for path in result.parent.iterdir():
                assert any(fnmatch(path.name, one) for one in names), f"{path} is not described"


def test_options_in_the_text_are_there():
    """Each ``--option`` of the docs is one that some command shows in its help."""
    group = typer.main.get_command(app)
    shown = {
        option
        for command in (group, *all_commands(group))
        for parameter in command.params
        if not getattr(parameter, "hidden", False)
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for page in (ROOT / "docs").glob("*.md"):
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text("utf-8")):
            assert option in shown, f"{page.name}: {option}"


def all_commands(group):
    for command in group.commands.values():
        yield from all_commands(command) if hasattr(command, "commands") else [command]


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_examples_run(example, inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", [example.name, str(inputs("talk.mp4")), "--out", str(tmp_path)]
    )
    runpy.run_path(str(example), run_name="__main__")
    assert {path.name for path in tmp_path.iterdir()} >= {"curve.png", "flow.png", "magnified.mp4"}


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_headings_that_links_name_are_there():
    for page in PAGES:
        for target, heading in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text("utf-8")):
            text = ((page.parent / target) if target else page).read_text("utf-8")
            titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
            assert heading in slugs, f"{page}: {target}#{heading}"


def test_files_and_names_of_the_pages_for_contributors_are_there():
    source = ROOT / "src" / "ma2mi"
    for page in ("CONTRIBUTING.md", "ARCHITECTURE.md"):
        for name in re.findall(r"`([\w./]+\.(?:py|html|md|toml|json))`", (ROOT / page).read_text()):
            there = [*ROOT.glob(name), *source.glob(name)]
            assert there or "NAME" in name, f"{page}: {name}"
    architecture = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    for module, name in re.findall(r"`([a-z_]+)\.([a-z_]+)`", architecture):
        assert module == "pyproject" or (source / module / f"{name}.py").is_file(), (module, name)
    contributing = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    code = "".join(path.read_text("utf-8") for path in source.rglob("*.py"))
    for name in re.findall(r"`@?(_?[A-Z][A-Za-z_]+)(?:\(|`)", contributing):
        assert name == "NAME" or re.search(rf"\b{name}\b", code), name


@pytest.mark.parametrize("script", ["write_reference", "draw_imports"])
def test_pages_made_from_the_code_are_fresh(script, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    made = __import__(script)
    for path, text in made.pages().items():
        there = path.read_text("utf-8") if path.is_file() else ""
        assert there == text, f"{path.name} is stale: run make docs"


def test_the_reference_has_every_command_entry_and_setting(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import write_reference as made

    page = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")
    for words, info in commands():
        assert (f"## ma2mi {words}\n" in page) != info.hidden, words
    named = page + "".join(
        (ROOT / "docs" / name).read_text("utf-8") for name in ("reference.md", "reference/names.md")
    )
    for name in set(BUILDERS) - (set(MODELS) - set(startable())):
        assert f"| `{name}` |" in named, name
    for module, node in made.settings_classes():
        for name, _, _, meaning in made.fields_of(module, node):
            assert meaning, f"{module}.{node.name}: {name} is not described below Args"
