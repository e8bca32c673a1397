"""What users install: a source distribution, the wheel built from it, and that wheel with only what it requires."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PACKAGES = (ROOT / "neurockt", ROOT / "viewer" / "neurockt_viewer")
TOP_LEVEL = {package.name for package in PACKAGES}
PROVIDED_BY = {"sklearn": "scikit-learn", "pynvml": "nvidia-ml-py", "yaml": "pyyaml"}
"""Import names that differ from the name of their distribution."""
NEVER_DECLARED = {
    "IPython",  # only if the user's code already runs in it
    "typing_extensions",  # only while types are checked; type checkers bring it
    # an adapter imports the framework of those who use it
    *("lightning", "pytorch_lightning", "transformers", "accelerate", "ignite"),
}
NEEDED_BY_OTHERS = {"pytz"}
"""What a requirement imports and does not require itself."""


def requirements(*extras: str) -> dict[str, Requirement]:
    """What pyproject.toml declares, by name: without extras, or for these ones alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [text for extra in extras for text in project["optional-dependencies"][extra]]
    found = map(Requirement, texts if extras else project["dependencies"])
    expanded = [requirements(*each.extras) if each.name == "neurockt" else {each.name: each} for each in found]
    return {name: requirement for some in expanded for name, requirement in some.items()}


def imports(path: Path) -> Iterator[str]:
    """The first name of each absolute import in a file, of deferred ones too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.slow
def test_what_is_imported_is_what_is_declared() -> None:
    """Each third-party import in the source has a requirement, maybe of an extra, and each requirement is used."""
    imported = {name for package in PACKAGES for path in package.rglob("*.py") for name in imports(path)}
    foreign = imported - sys.stdlib_module_names - TOP_LEVEL - NEVER_DECLARED
    used = {PROVIDED_BY.get(name, name) for name in foreign}
    assert used | NEEDED_BY_OTHERS == {*requirements(), *requirements("all")}


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command with no environment variables but the path."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


class Built(NamedTuple):
    """What is released."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The source distribution of this tree, and the wheel built from that."""
    directory = tmp_path_factory.mktemp("built")

    def build(kind: str, source: Path) -> Path:
        done = run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", directory / kind, cwd=source)
        assert done.returncode == 0, done.stderr
        (file,) = (directory / kind).iterdir()
        return file

    sdist = build("sdist", ROOT)
    with tarfile.open(sdist) as archive:
        archive.extractall(directory, filter="data")
    return Built(sdist, build("wheel", directory / sdist.name.removesuffix(".tar.gz")))


@pytest.mark.slow
def test_the_wheel_has_the_two_packages_and_all_their_files(built: Built) -> None:
    """No other top-level name; the documents and the style sheet beside the code too."""
    names = set(zipfile.ZipFile(built.wheel).namelist())
    packaged = {name for name in names if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in packaged} == TOP_LEVEL
    assert packaged == {
        str(path.relative_to(package.parent))
        for package in PACKAGES
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    checker = Path(sys.executable).with_name("check-wheel-contents")
    done = run(sys.executable, checker, "--toplevel", ",".join(sorted(TOP_LEVEL)), built.wheel, cwd=built.wheel.parent)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_source_distribution_has_what_make_needs(built: Built) -> None:
    """Tests, sample runs, documents and the Makefile."""
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ["Makefile", ".ci/run", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "tests/requirements.txt"]
    assert {*wanted, "tests/conftest.py", "sample_runs/adam-0.003-s0/run.json"} <= names


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and its requirements, without an extra and without this tree."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, symlinks=True)
    python = directory / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", built.wheel]
    done = run(*install, cwd=directory)
    assert done.returncode == 0, done.stderr
    (packages,) = (directory / "lib").glob("python*/site-packages")
    for name in requirements():
        link_distribution(name, packages)
    return python


def link_distribution(name: str, packages: Path) -> None:
    """Lend a package of this environment to another one, with what that package requires."""
    distribution = importlib.metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
    for top in tops:
        if not (packages / top).exists():
            (packages / top).symlink_to(Path(str(distribution.locate_file(top))))
    for text in distribution.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            link_distribution(requirement.name, packages)


RECORD = """
import sys, neurockt
assert neurockt.__file__.startswith(sys.prefix), neurockt.__file__
from neurockt.monitor import Recorder
recorder = Recorder("runs", run_id="run", quiet=True)
loss = recorder.track_scalar("loss")(float)
with recorder(train=True):
    loss(0.5)
recorder.finish()
print(neurockt.open_run("runs/run").steps()["loss"].to_pylist())
"""


@pytest.mark.slow
def test_the_wheel_records_and_lists_without_an_extra(installed: Path, tmp_path: Path) -> None:
    """In an environment that has only what neurockt requires; the command is installed with it."""
    done = run(installed, "-c", RECORD, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0.5]\n", "")
    done = run(installed.with_name("neurockt"), "ls", "--columns", "id,state,steps", cwd=tmp_path)
    assert [line.split() for line in done.stdout.splitlines()] == [["id", "state", "steps"], ["run", "finished", "1"]]
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["-m", "neurockt", "sync", "runs"], "wandb"),
        (["-m", "neurockt", "demo"], "demo"),
        (["-c", "import neurockt.torch"], "torch"),
        (["-c", "from neurockt.monitor.wandb import WandbRecorder as R\nwith R('runs')(train=True): pass"], "wandb"),
    ],
)
def test_a_missing_extra_is_named_with_its_pip_line(
    installed: Path, tmp_path: Path, words: list[str], extra: str
) -> None:
    """The last line says what to install."""
    (tmp_path / "runs").mkdir()
    done = run(installed, *words, cwd=tmp_path)
    assert f"pip install 'neurockt[{extra}]'" in done.stderr.splitlines()[-1]
    assert words[0] == "-c" or (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)


@pytest.mark.slow
def test_the_viewer_is_missed_on_a_terminal_alone(installed: Path, tmp_path: Path) -> None:
    """`neurockt view` prints the plain list elsewhere, for which it needs no extra."""
    run(installed, "-c", RECORD, cwd=tmp_path)
    done = run(installed, "-m", "neurockt", "view", cwd=tmp_path)
    assert (done.returncode, "run" in done.stdout) == (0, True)
    on_terminal = "import pty, sys; sys.exit(pty.spawn([sys.executable, '-m', 'neurockt', 'view']) >> 8)"
    done = run(installed, "-c", on_terminal, cwd=tmp_path)
    assert (done.returncode, re.search(r"pip install 'neurockt\[viewer\]'", done.stdout) is not None) == (1, True)
