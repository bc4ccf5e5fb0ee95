# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write config/depth.yaml and the table of docs/reference/node.md from the node's parameters.

``python docs/make_parameters.py``
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monodepth2_ros.node.parameters import PARAMETERS, Parameter

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "config" / "depth.yaml"
PAGE = ROOT / "docs" / "reference" / "node.md"

#: Headings of the file, by the parameter that comes first.
SECTIONS = {
    "checkpoint": "The model",
    "cameras": "The input",
    "output_reliability": "The outputs",
    "autostart": "The node",
}

#: What the page adds to a parameter's meaning.
LINKS = {
    "checkpoint": "[What it is worth](model_card.md).",
    "cameras": "See [several cameras](../how-to/several_cameras.md).",
    "rectify": "[The rule](joins.md).",
}

HEAD = """\
# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# Every parameter of the node "depth" with its default. Copy the file, change what you need and
# start with  ros2 launch monodepth2_ros depth.launch.py params_file:=/path/to/your.yaml
#
# [live] marks those that can change while the node runs (ros2 param set); the others are read when
# it configures. Unknown names are reported in the log.
#
# Made from the node's parameters by docs/make_parameters.py.

/**:
  ros__parameters:
"""

_WIDTH = 100


def parameter_file() -> str:
    """Return config/depth.yaml."""
    names = {parameter.name for parameter in PARAMETERS}
    text, group = HEAD, ""
    for parameter in PARAMETERS:
        if parameter.name in SECTIONS:
            text += f"    # --- {SECTIONS[parameter.name]} ---\n\n"
        prefix, _, key = parameter.name.rpartition(".")
        if prefix in names:  # a parameter itself, which in YAML cannot be a mapping, too
            prefix, key = "", parameter.name
        if prefix != group and prefix:
            text += f"    {prefix}:\n"
        group = prefix
        indent = "      " if prefix else "    "
        comment = textwrap.fill(
            _meaning(parameter),
            _WIDTH,
            initial_indent=f"{indent}# ",
            subsequent_indent=f"{indent}# ",
            break_on_hyphens=False,
            break_long_words=False,
        )
        text += f"{comment}\n{indent}{key}: {_default(parameter)}\n\n"
    return text.rstrip("\n") + "\n"


def _meaning(parameter: Parameter) -> str:
    """Describe a parameter in one paragraph."""
    words = ["[live]"] if parameter.live else []
    words.append(parameter.description)
    if parameter.choices:
        words.append(f"One of: {', '.join(parameter.choices)}.")
    is_number = isinstance(parameter.default, int | float)
    if is_number and parameter.minimum is not None and parameter.maximum is not None:
        low, high = (_limit(number) for number in (parameter.minimum, parameter.maximum))
        words.append(f"Range: {low} to {high}.")
    return " ".join(words)


def _limit(number: float) -> str:
    """Write a limit: integers in full."""
    return str(number) if isinstance(number, int) else f"{number:g}"


def _default(parameter: Parameter, quote: str = '"') -> str:
    """Write a default as YAML."""
    default = parameter.default
    if isinstance(default, str):
        return f"{quote}{default}{quote}"
    plain = list(default) if isinstance(default, tuple) else default
    return yaml.safe_dump(plain, default_flow_style=True).split("\n")[0].replace("'", quote)


def table() -> str:
    """Return the table of docs/reference/node.md."""
    rows = ["| parameter | type | default | live | meaning |", "|---|---|---|---|---|"]
    for parameter in PARAMETERS:
        default = _default(parameter, quote="'").strip("'")
        shown = f"`{default}`" if default else "empty"
        words = [parameter.description]
        if parameter.choices:
            words.append(f"One of {', '.join(f'`{choice}`' for choice in parameter.choices)}.")
        words += [LINKS[parameter.name]] if parameter.name in LINKS else []
        live = "yes" if parameter.live else "no"
        cells = [f"`{parameter.name}`", parameter.type_name, shown, live, " ".join(words)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def page() -> str:
    """Return docs/reference/node.md with its table as it has to be."""
    old = re.compile(r"^\| parameter \| type .*?\n(?=\n)", re.MULTILINE | re.DOTALL)
    return old.sub(lambda _: table(), PAGE.read_text(encoding="utf-8"), count=1)


if __name__ == "__main__":
    FILE.write_text(parameter_file(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
    print(FILE, PAGE, sep="\n")
