# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The package as pip and colcon install it, its metadata, and the Makefile's environment."""

from __future__ import annotations

import configparser
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

import monodepth2_ros
from paths import REPOSITORY

EXECUTABLES = {
    "depth_node",
    "depth_demo",
    "depth_rviz",
    "depth_extract",
    "depth_train",
    "depth_evaluate",
    "depth_calibrate",
    "depth_export",
    "depth_synthesize",
}

# In the package, and looked for in all that is built of it.
DEFAULT_MODEL = "monodepth2_ros/models/default.safetensors"

pytestmark = pytest.mark.skipif(
    not (REPOSITORY / "setup.py").is_file(), reason="needs the source tree, not an installation"
)


def _setuptools_version() -> tuple[int, ...]:
    version = importlib.metadata.version("setuptools")
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command that must succeed; return what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged, so that building leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("source") / "monodepth2_ros"
    copy.mkdir()
    for folder in ("config", "launch", "monodepth2_ros", "resource", "training"):
        shutil.copytree(
            REPOSITORY / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    for file in ("package.xml", "pyproject.toml", "setup.cfg", "setup.py", "LICENSE", "NOTICE"):
        shutil.copy(REPOSITORY / file, copy)
    (copy / "README.md").write_text("# How to\n", encoding="utf-8")
    (copy / "docs" / "reference").mkdir(parents=True)
    (copy / "docs" / "reference" / "node.md").write_text("# The node\n", encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def metadata(source: Path) -> dict:
    """What setup.py hands to setuptools."""
    script = (
        "import json, setuptools\n"
        "setuptools.setup = lambda **arguments: print(json.dumps(arguments, default=str))\n"
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'))\n"
    )
    return json.loads(_run(sys.executable, "-c", script, cwd=source))


@pytest.fixture(scope="module")
def manifest() -> ElementTree.Element:
    return ElementTree.parse(REPOSITORY / "package.xml").getroot()


@pytest.fixture(scope="module")
def wheel(source: Path) -> zipfile.ZipFile:
    """The wheel that `pip install .` builds, made with the setuptools that is there."""
    if _setuptools_version() < (70, 1) and importlib.util.find_spec("wheel") is None:
        pytest.skip("setuptools before 70.1 builds wheels only with the package wheel")
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    _run(sys.executable, "-c", build, cwd=source)
    (path,) = (source / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


# Metadata


def test_version_is_the_same_everywhere(metadata: dict, manifest: ElementTree.Element) -> None:
    assert metadata["version"] == manifest.findtext("version") == monodepth2_ros.__version__
    changelog = (REPOSITORY / "CHANGELOG.rst").read_text(encoding="utf-8")
    assert re.search(rf"^(Forthcoming|{re.escape(metadata['version'])}\b.*)$", changelog, re.M)


def test_manifest_agrees_with_setup(metadata: dict, manifest: ElementTree.Element) -> None:
    assert metadata["name"] == manifest.findtext("name")
    assert metadata["description"] == manifest.findtext("description")
    assert metadata["license"] == manifest.findtext("license")
    maintainer = manifest.find("maintainer")
    assert maintainer is not None
    assert metadata["maintainer"] == maintainer.text
    assert metadata["maintainer_email"] == maintainer.get("email")


def test_manifest_is_one_that_colcon_takes_for_ament(manifest: ElementTree.Element) -> None:
    # colcon takes a package whose manifest does not validate for plain Python, without a word.
    assert manifest.tag == "package"
    assert manifest.get("format") == "3"
    assert manifest.findtext("export/build_type") == "ament_python"
    assert re.fullmatch(r"[a-z][a-z0-9_]*", manifest.findtext("name") or "")
    assert re.fullmatch(r"\d+\.\d+\.\d+", manifest.findtext("version") or "")
    for maintainer in manifest.findall("maintainer"):
        # The pattern of catkin_pkg.
        assert re.fullmatch(
            r"[-a-zA-Z0-9_%+]+(\.[-a-zA-Z0-9_%+]+)*@[-a-zA-Z0-9%]+(\.[-a-zA-Z0-9%]+)*\.[a-zA-Z]{2,}",
            maintainer.get("email") or "",
        )
    for element in manifest.findall("license"):
        license_text = (REPOSITORY / element.attrib["file"]).read_text(encoding="utf-8")
        assert "Apache License" in license_text
    dependencies = [(e.tag, e.text) for e in manifest if e.tag.endswith("depend")]
    assert len(dependencies) == len(set(dependencies))
    for _, key in dependencies:
        assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", key or "")


def test_manifest_passes_catkin_pkg() -> None:
    package = pytest.importorskip("catkin_pkg.package", reason="catkin_pkg comes with colcon")
    warnings: list[str] = []
    parsed = package.parse_package(str(REPOSITORY / "package.xml"), warnings=warnings)
    assert not warnings
    assert parsed.get_build_type() == "ament_python"


def test_imported_ros_packages_are_declared(metadata: dict, manifest: ElementTree.Element) -> None:
    imported = set()
    for folder in ("monodepth2_ros", "training"):
        for file in (REPOSITORY / folder).rglob("*.py"):
            code = file.read_text(encoding="utf-8")
            imported |= set(
                re.findall(r"^\s*(?:from|import) (\w+_msgs|\w+_interfaces|rclpy)\b", code, re.M)
            )
    assert "rclpy" in imported
    declared = {element.text for element in manifest if element.tag in ("depend", "exec_depend")}
    assert imported <= declared
    wheels = {
        re.split(r"[^\w-]", requirement)[0] for requirement in metadata["extras_require"]["ros"]
    }
    # No wheel has tf2_msgs; without it the node logs the command that publishes its frame.
    needed = imported - {"tf2_msgs"}
    assert {f"ros-jazzy-{name.replace('_', '-')}" for name in needed} <= wheels


def test_extras(metadata: dict) -> None:
    extras = {"ros", "openvino", "cuda", "int8", "train", "test", "docs", "completion"}
    assert extras == set(metadata["extras_require"])


@pytest.mark.parametrize("name", sorted(EXECUTABLES))
def test_executable_has_a_main(metadata: dict, name: str) -> None:
    targets = dict(entry.split(" = ") for entry in metadata["entry_points"]["console_scripts"])
    assert set(targets) == EXECUTABLES
    module, function = targets[name].split(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, f"{name}: no module {module}"
    code = Path(spec.origin).read_text(encoding="utf-8")
    assert re.search(rf"^def {function}\(", code, re.M), f"{name}: no {function}() in {module}"


def test_scripts_go_where_ros_looks() -> None:
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg")
    assert settings["develop"]["script_dir"] == "$base/lib/monodepth2_ros"
    assert settings["install"]["install_scripts"] == "$base/lib/monodepth2_ros"
    assert settings["build_scripts"]["executable"] == "/usr/bin/env python3"


# The wheel


@pytest.mark.slow
def test_wheel_has_every_module_and_file(source: Path, wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    expected = {
        file.relative_to(source).as_posix()
        for folder, kind in (
            ("monodepth2_ros", "*.py"),
            ("monodepth2_ros/models", "*.safetensors"),
            ("training", "*.py"),
        )
        for file in (source / folder).rglob(kind)
    }
    expected.add("monodepth2_ros/py.typed")
    expected.add(DEFAULT_MODEL)
    shared = f"monodepth2_ros-{monodepth2_ros.__version__}.data/data/share"
    names_of_config = (
        "depth.yaml",
        "train.yaml",
        "default_model.yaml",
        "depth.rviz",
        "fastdds.xml",
    )
    for file in (*names_of_config, "cameras.yaml"):
        expected.add(f"monodepth2_ros/config/{file}")
        expected.add(f"{shared}/monodepth2_ros/config/{file}")
    for file in ("depth.launch.py", "demo.launch.py", "cameras.launch.py"):
        expected.add(f"{shared}/monodepth2_ros/launch/{file}")
    expected.add(f"{shared}/monodepth2_ros/docs/reference/node.md")
    expected.add(f"{shared}/monodepth2_ros/package.xml")
    expected.add(f"{shared}/ament_index/resource_index/packages/monodepth2_ros")
    assert expected <= names, sorted(expected - names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("test")]
    assert {Path(name).name for name in names} >= {"LICENSE", "NOTICE"}
    (description,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    assert "# How to" in wheel.read(description).decode()


def test_wheel_holds_the_default_model_unchanged(wheel: zipfile.ZipFile) -> None:
    packed = hashlib.sha256(wheel.read(DEFAULT_MODEL)).digest()
    assert packed == hashlib.sha256((REPOSITORY / DEFAULT_MODEL).read_bytes()).digest()


@pytest.mark.slow
def test_source_distribution_is_complete(source: Path, wheel: zipfile.ZipFile) -> None:
    # After the wheel: both write into the same folder.
    build = "from setuptools.build_meta import build_sdist; build_sdist('dist')"
    _run(sys.executable, "-c", build, cwd=source)
    (path,) = (source / "dist").glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {"setup.py", "setup.cfg", "pyproject.toml", "package.xml", "README.md"}
    expected |= {"LICENSE", "NOTICE", "resource/monodepth2_ros", DEFAULT_MODEL}
    for folder in ("config", "launch", "monodepth2_ros", "training"):
        files = [file for file in (source / folder).rglob("*") if file.is_file()]
        expected |= {file.relative_to(source).as_posix() for file in files if "__" not in file.name}
    assert expected <= names, sorted(expected - names)


def test_wheel_executables_forward_to_the_console_scripts(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    prefix = f"monodepth2_ros-{monodepth2_ros.__version__}.data/data/lib/monodepth2_ros/"
    entries = [entry for entry in wheel.infolist() if entry.filename.startswith(prefix)]
    assert {entry.filename.removeprefix(prefix) for entry in entries} == EXECUTABLES
    # An installation with a blank in its path, and console scripts that print what they get.
    root = tmp_path / "the prefix"
    (root / "bin").mkdir(parents=True)
    (root / "lib" / "monodepth2_ros").mkdir(parents=True)
    for entry in entries:
        mode = entry.external_attr >> 16
        assert mode & 0o111 == 0o111, entry.filename
        name = entry.filename.removeprefix(prefix)
        forwarder = root / "lib" / "monodepth2_ros" / name
        forwarder.write_bytes(wheel.read(entry))
        forwarder.chmod(stat.S_IMODE(mode))
        script = root / "bin" / name
        script.write_text(f"#!/bin/sh\nprintf '%s;' {name} \"$@\"\n", encoding="utf-8")
        script.chmod(0o755)
        assert _run(forwarder, "-p", "a b", cwd=tmp_path) == f"{name};-p;a b;"


# colcon


def _check_scripts(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == EXECUTABLES
    for path in folder.iterdir():
        assert os.access(path, os.X_OK)
        code = path.read_text(encoding="utf-8")
        assert code.startswith("#!/usr/bin/env python3\n")
        assert "console_scripts" in code
        compile(code, path.name, "exec")
        _check_signals(path.name, code)


def _check_signals(name: str, code: str) -> None:
    """What a script does first is to answer signals, before it looks its program up."""
    first = code.splitlines()[1:4]
    is_node = name == "depth_node"
    for number in (signal.SIGINT, signal.SIGTERM) if is_node else (signal.SIGINT,):
        program = "\n".join([*first, f"signal.raise_signal({int(number)})", "os._exit(9)"])
        done = subprocess.run([sys.executable, "-c", program])
        assert done.returncode == (0 if is_node else 130)


def test_colcon_install(source: Path, tmp_path: Path) -> None:
    # The commands of colcon's task for ament_python.
    _run(
        *(sys.executable, "setup.py", "build", "--build-base", tmp_path / "build"),
        *("egg_info", "--egg-base", tmp_path),
        *("install", "--prefix", tmp_path / "install", "--record", tmp_path / "record"),
        "--single-version-externally-managed",
        cwd=source,
    )
    _check_scripts(tmp_path / "install" / "lib" / "monodepth2_ros")
    (package,) = (tmp_path / "install").rglob("monodepth2_ros/py.typed")
    assert (package.parent.parent / DEFAULT_MODEL).is_file()
    share = tmp_path / "install" / "share"
    assert (share / "ament_index/resource_index/packages/monodepth2_ros").is_file()
    installed = {p.name for p in (share / "monodepth2_ros").rglob("*") if p.is_file()}
    assert installed == {
        *("package.xml", "depth.launch.py", "demo.launch.py", "cameras.launch.py"),
        *("depth.yaml", "train.yaml", "default_model.yaml", "depth.rviz", "fastdds.xml"),
        *("cameras.yaml", "node.md"),
    }


def test_colcon_symlink_install(source: Path, tmp_path: Path) -> None:
    if _setuptools_version() >= (80,):
        pytest.skip("setuptools 80 dropped the command that a symlink install consists of")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = tmp_path / "install" / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    _run(
        *(sys.executable, "setup.py", "develop", "--no-deps"),
        *("--prefix", tmp_path / "install", "--build-directory", tmp_path / "build"),
        cwd=source,
        PYTHONPATH=os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]),
    )
    _check_scripts(tmp_path / "install" / "lib" / "monodepth2_ros")


# The Makefile's environment, with a Python that only writes down what it is asked to do.

FAKE_PYTHON = """\
#!/bin/sh
case "$*" in
    "-m venv --clear .venv")
        rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python || exit 1
        echo "VIRTUAL_ENV=$PWD/.venv" > .venv/bin/activate
        echo created >> log ;;
    "-m pip install "*) echo "installed" >> log; test ! -e interrupt ;;
    -I*find_spec*) test ! -e .venv/incomplete ;;
    "-m pytest "*) echo "tested $*" >> log ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile, what it depends on, and the Python that it is given."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    folder = tmp_path / "checkout"
    folder.mkdir()
    for file in ("Makefile", "setup.py", "setup.cfg", "pyproject.toml"):
        shutil.copy(REPOSITORY / file, folder)
    python = folder / "python"
    python.write_text(FAKE_PYTHON, encoding="utf-8")
    python.chmod(0o755)
    return folder


def _make(checkout: Path, *arguments: str, fails: bool = False) -> list[str]:
    """Run make; return what its Python was asked to do, in order."""
    log = checkout / "log"
    log.unlink(missing_ok=True)
    done = subprocess.run(
        ["make", *arguments, "PYTHON3=./python"],
        cwd=checkout,
        # Not the flags of a make that runs these tests.
        env={key: value for key, value in os.environ.items() if "MAKE" not in key},
        capture_output=True,
        text=True,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def test_make_installs_once(checkout: Path) -> None:
    assert _make(checkout, "install") == ["created", "installed"]
    assert _make(checkout, "install") == []
    (tested,) = _make(checkout, "test", "ARGS=-k geometry")
    assert tested.startswith("tested -m pytest ") and tested.endswith(" -k geometry")


def test_make_test_is_enough_in_a_fresh_clone(checkout: Path) -> None:
    *before, tested = _make(checkout, "test", "ARGS=-x -q")
    assert before == ["created", "installed"]
    assert tested.startswith("tested -m pytest ") and tested.endswith(" -x -q")


def test_make_follows_the_requirements(checkout: Path) -> None:
    _make(checkout, "install")
    future = (checkout / ".venv" / ".installed").stat().st_mtime + 5
    os.utime(checkout / "setup.py", (future, future))
    assert _make(checkout, "install") == ["installed"]


def test_make_starts_over_after_an_interruption(checkout: Path) -> None:
    (checkout / "interrupt").touch()
    assert _make(checkout, "install", fails=True) == ["created", "installed"]
    (checkout / "interrupt").unlink()
    assert _make(checkout, "install") == ["created", "installed"]


def test_make_replaces_a_broken_environment(checkout: Path) -> None:
    _make(checkout, "install")
    (checkout / ".venv" / "incomplete").touch()
    assert _make(checkout, "install") == ["created", "installed"]
    (checkout / ".venv" / "bin" / "python").unlink()
    assert _make(checkout, "install") == ["created", "installed"]


def test_make_replaces_the_environment_of_a_moved_checkout(checkout: Path) -> None:
    _make(checkout, "install")
    moved = checkout.rename(checkout.with_name("moved"))
    assert _make(moved, "install") == ["created", "installed"]


def test_make_keeps_an_environment_that_it_finds(checkout: Path) -> None:
    # One that somebody made by hand: completed, not wiped.
    subprocess.run(["./python", "-m", "venv", "--clear", ".venv"], cwd=checkout, check=True)
    assert _make(checkout, "install") == ["installed"]


# --- commands ---


@pytest.mark.parametrize("name", sorted(EXECUTABLES - {"depth_node"}))
def test_commands_explain_themselves(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A "%" in a help text that argparse does not know ends in a traceback."""
    setup = (REPOSITORY / "setup.py").read_text()
    found = re.search(rf'"{name}": "([\w.]+):(\w+)"', setup)
    assert found
    main = getattr(importlib.import_module(found[1]), found[2])
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as end:
            main(["--help"])
    finally:
        signal.signal(signal.SIGINT, handler)
    assert end.value.code == 0
    assert "usage:" in capsys.readouterr().out
