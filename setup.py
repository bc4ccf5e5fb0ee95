# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Packaging for colcon (ament_python) and for pip."""

from __future__ import annotations

import os
from glob import glob
from pathlib import Path

from setuptools import (  # first: it brings distutils where Python has none of its own
    find_packages,
    setup,
)

from distutils.command.install_data import install_data  # isort: skip
from setuptools.command.develop import develop
from setuptools.command.install_scripts import install_scripts

PACKAGE = "monodepth2_ros"

EXECUTABLES = {
    "depth_node": "monodepth2_ros.node.__main__:main",
    "depth_demo": "monodepth2_ros.start:demo",
    "depth_rviz": "monodepth2_ros.start:rviz",
    "depth_extract": "training.start:extract",
    "depth_train": "training.start:train",
    "depth_evaluate": "training.start:evaluate",
    "depth_calibrate": "training.start:calibrate",
    "depth_export": "training.start:export",
    "depth_synthesize": "training.start:synthesize",
}

# ROS 2 Jazzy as wheels: CPython 3.10 to 3.14 on x86-64 Linux. Elsewhere ROS 2 comes from an
# installation, and the extra adds only what reads recordings.
ROS_WHEELS = "; sys_platform == 'linux' and platform_machine == 'x86_64'"

# Resizes camera images in a quarter of NumPy's time; wheels for x86-64 Linux.
RESIZER = "cykooz-resizer>=4.0,<5; sys_platform == 'linux' and platform_machine == 'x86_64'"

ROSBAGS = "rosbags>=0.10.9"  # the first that writes MCAP

# What runs the network on a GPU, and what learns. Triton comes with torch on most machines.
TORCH = "torch>=2.4"
TRITON = "triton>=3.0; sys_platform == 'linux' and platform_machine == 'x86_64'"

# A robot with a CPU installs [ros,openvino], which brings no torch; one with a GPU [ros,cuda].
EXTRAS = {
    "ros": [
        f"ros-jazzy-rclpy[fastrtps]>=7.1{ROS_WHEELS}",
        *(
            f"ros-jazzy-{messages}{ROS_WHEELS}"
            for messages in (
                "diagnostic-msgs",
                "lifecycle-msgs",
                "geometry-msgs",
                "nav-msgs",
                "rcl-interfaces",
                "rosgraph-msgs",
                "sensor-msgs",
                "std-msgs",
                "std-srvs",
            )
        ),
        ROSBAGS,
    ],
    "openvino": [RESIZER, "openvino>=2024.4"],
    "cuda": [TORCH, TRITON],
    # Not part of [test]: with scipy and scikit-learn it is large, and it holds NumPy back.
    "int8": ["nncf>=2.13", "openvino>=2024.4"],
    "train": [
        "jinja2>=3.0",
        "matplotlib>=3.5",
        "onnx>=1.16",
        ROSBAGS,
        "tensorboard>=2.14",
        TORCH,
        "torchvision>=0.19",
    ],
    # Scripts that complete the commands' options in a shell.
    "completion": ["shtab>=1.6"],
    "docs": [
        "myst-parser>=4",
        "sphinx>=7.3",
        "sphinx-copybutton>=0.5",
        "sphinx_rtd_theme>=3",
    ],
    "test": [
        "catkin_pkg>=0.5",
        "codespell>=2.3",
        "import-linter>=2.0",
        "mypy>=1.11",
        "onnxruntime>=1.18",
        "psutil>=5.9",
        "pytest>=7.4",
        "coverage>=7.10",  # the first that patches subprocesses by itself
        "pytest-cov>=7",
        "pytest-xdist>=3.3",
        "rosbags-image>=0.10",
        "ruff>=0.6",
        "shtab>=1.6",
        # test_packaging.py builds a wheel, and setuptools does so by itself since 70.1.
        "setuptools>=70.1",
        "types-PyYAML",
    ],
}

# The folder in which colcon prepares a symlink install has none.
README = Path("README.md")

# The scripts that setuptools writes for colcon look their program up first, which takes a while.
END_AT_SIGNALS = """\
import os, signal
for number in ({signals}):
    signal.signal(number, lambda *_: os._exit({status}))
"""

FORWARDER = """\
#!/bin/sh
exec "$(dirname "$0")/../../bin/{name}" "$@"
"""


class InstallData(install_data):
    """Put the executables of a wheel where `ros2 run` and `ros2 launch` look for them.

    They look in lib/<package>. pip writes console scripts to bin/ and nowhere else (it ignores
    `install_scripts`), so a wheel carries a forwarder for each. colcon installs the scripts
    themselves in that folder (setup.cfg), so there nothing is added.
    """

    def run(self) -> None:
        """Install the data files and, into a wheel, the forwarders."""
        super().run()
        if "bdist_wheel" not in self.distribution.command_obj:
            return
        folder = os.path.join(self.install_dir, "lib", PACKAGE)
        self.mkpath(folder)
        for name in EXECUTABLES:
            path = os.path.join(folder, name)
            with open(path, "w", encoding="utf-8", newline="\n") as file:
                file.write(FORWARDER.format(name=name))
            os.chmod(path, 0o755)
            self.outfiles.append(path)


def end_at_signals(name: str, contents: str) -> str:
    """Let a console script end as its program does, at a signal that comes before that runs.

    The node ends with status 0 at SIGINT and SIGTERM, a command with 130 at SIGINT.
    """
    first, _, body = contents.partition("\n")
    is_node = name == "depth_node"
    signals = "signal.SIGINT, signal.SIGTERM" if is_node else "signal.SIGINT,"
    return f"{first}\n{END_AT_SIGNALS.format(signals=signals, status=0 if is_node else 130)}{body}"


class InstallScripts(install_scripts):
    """Prepare the scripts of `colcon build` for signals."""

    def write_script(self, name: str, contents: str, mode: str = "t", *ignored: str) -> None:
        """Write a script that answers signals from its first line on."""
        super().write_script(name, end_at_signals(name, contents), mode, *ignored)


class Develop(develop):
    """Let the scripts of `colcon build --symlink-install` start the virtual environment's Python.

    `develop` writes the Python that runs colcon, the system's, into them; `install` writes what
    setup.cfg says under `build_scripts`. This does the same for both, and prepares for signals.
    """

    def write_script(self, name: str, contents: str, mode: str = "t", *blockers: str) -> None:
        """Write a script with the first line that setup.cfg asks for."""
        executable = self.get_finalized_command("build_scripts").executable
        _, _, body = end_at_signals(name, contents).partition("\n")
        super().write_script(name, f"#!{executable}\n{body}", mode, *blockers)


setup(
    name=PACKAGE,
    version="0.2.0",
    description="Monocular depth for robots: a ROS 2 node and self-supervised training.",
    long_description=README.read_text(encoding="utf-8") if README.is_file() else "",
    long_description_content_type="text/markdown",
    author="The monodepth2_ros authors",
    maintainer="The monodepth2_ros maintainers",
    maintainer_email="maintainers@monodepth2-ros.example",
    license="Apache-2.0",
    keywords=[
        "ROS 2",
        "monocular depth",
        "self-supervised",
        "point cloud",
        "Monodepth2",
        "robotics",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=[
        *find_packages(include=["monodepth2_ros", "monodepth2_ros.*", "training", "training.*"]),
        "monodepth2_ros.config",
    ],
    # The parameter file and the Fast DDS profile live in config/, where ROS keeps them; in a wheel
    # they also travel inside the package, where importlib.resources finds them.
    package_dir={"monodepth2_ros.config": "config"},
    package_data={
        "monodepth2_ros": ["py.typed", "models/*.safetensors"],
        "training.evaluation": ["*.jinja"],
        "monodepth2_ros.config": ["*.yaml", "*.xml", "*.rviz", "panoramas/*.jpg"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", sorted(glob("launch/*.launch.py"))),
        (f"share/{PACKAGE}/config", sorted(glob("config/*.*"))),
        *(
            (f"share/{PACKAGE}/{folder}", sorted(glob(f"{folder}/*.md")))
            for folder in ("docs", "docs/how-to", "docs/reference", "docs/background")
        ),
    ],
    install_requires=[
        "jsonargparse>=4.30",
        "msgspec>=0.18",
        "numpy>=1.21",
        "opencv-python-headless>=4.5.4",
        "PyYAML>=5.4",
        "Pillow>=9.1",
        "safetensors>=0.4.3",
        "tqdm>=4.57",
    ],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [f"{name} = {target}" for name, target in EXECUTABLES.items()],
    },
    cmdclass={
        "develop": Develop,
        "install_data": InstallData,
        "install_scripts": InstallScripts,
    },
    zip_safe=False,
)
