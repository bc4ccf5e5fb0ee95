# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command line of every command: options from a dataclass, ``--config FILE``, one help style.

``--name value`` for values, ``--name`` and ``--no-name`` for what is on or off, several values one
after the other. A config file holds the same names with underscores; what the command line says
comes before what the file says. Neither torch nor ROS is imported here.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import (
    Any,
    Generic,
    Literal,
    NoReturn,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import yaml

from monodepth2_ros.extras import MissingExtra as MissingExtra
from monodepth2_ros.extras import require as require
from monodepth2_ros.option_fields import (
    OLD_VALUES,
    OptionError,
    check_type,
    expected,
    flag,
    without_none,
)
from monodepth2_ros.user_paths import user_path

_Options = TypeVar("_Options")

_COMPLETION = "--print-completion"
_TRUE = ("true", "yes", "on")
_FALSE = ("false", "no", "off")


def option_words(name: str, value: Any) -> tuple[str, ...]:
    """Spell an option as words of a command line.

    Parameters
    ----------
    name : str
        With underscores, as in a config file.
    value
        True and False become "--name" and "--no-name", a list several words.
    """
    if isinstance(value, bool):
        return (flag(name) if value else flag(f"no_{name}"),)
    if isinstance(value, (tuple, list)):
        return (flag(name), *map(str, value))
    return flag(name), str(value)


class CommandLine(Generic[_Options]):
    """The command line of one command.

    Parameters
    ----------
    command : str
        Its name.
    options : type
        A dataclass whose fields are made by :func:`monodepth2_ros.option_fields.option`.
    description : str
        What it does.
    epilog : str
        Comes last in its help.
    renamed : mapping, optional
        Old spelling ("--output") → what to write instead ("--out DIR"). Old ones are refused.
    defaults : mapping, optional
        Values of fields instead of the dataclass's own defaults: what a command takes from the
        machine, the number of processors for example.

    Raises
    ------
    SystemExit
        If jsonargparse is not installed, with the command that installs it.
    """

    def __init__(
        self,
        command: str,
        options: type[_Options],
        description: str,
        epilog: str = "",
        renamed: Mapping[str, str] | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            import jsonargparse
        except ImportError as error:
            sys.exit(f"{command}: {error}; pip install 'jsonargparse>=4.30'")
        self.command = command
        self.options = options
        self.renamed = dict(renamed or {})
        self._defaults = dict(defaults or {})
        self._hints = get_type_hints(options)
        parser = jsonargparse.ArgumentParser(
            prog=command,
            description=description,
            epilog=epilog or None,
            formatter_class=argparse.HelpFormatter,
            print_config="--print-config",
            allow_abbrev=False,
        )
        self.parser = cast(Any, parser)
        # jsonargparse adds a tip and the whole usage to each error; a sentence is enough.
        self.parser.error = self._refuse
        self.parser.add_argument(
            "--config", action="config", metavar="FILE", help="YAML file with options"
        )
        self.parser.add_argument(
            _COMPLETION, metavar="SHELL", help="print a completion script: bash, zsh, tcsh, …"
        )
        self._choices: dict[str, tuple[Any, ...]] = {}
        groups: dict[str, Any] = {"": self.parser}
        for field in dataclasses.fields(options):  # type: ignore[arg-type]
            if field.metadata:
                section = field.metadata.get("section", "")
                if section not in groups:
                    groups[section] = self.parser.add_argument_group(section)
                self._add(groups[section], field)

    def add_argument(self, *names: str, **arguments: Any) -> None:
        """Add an argument that is not an option of the dataclass; see argparse."""
        self.parser.add_argument(*names, **arguments)

    def parse(self, arguments: Sequence[str] | None = None) -> _Options:
        """Read the options.

        Parameters
        ----------
        arguments : sequence of str, optional
            Without the program's name; those of the process by default.

        Raises
        ------
        SystemExit
            With status 2, and a sentence on stderr, if the command line cannot be read or a
            value is not allowed.
        """
        return self.parse_with_others(arguments)[0]

    def parse_with_others(
        self, arguments: Sequence[str] | None = None
    ) -> tuple[_Options, dict[str, Any]]:
        """Read the options, and the arguments that :meth:`add_argument` added."""
        given = list(sys.argv[1:] if arguments is None else arguments)
        self._refuse_old_spellings(given)
        self._print_completion(given)
        configured = self._read_configs(given)
        parsed = vars(self.parser.parse_args(given))
        del parsed["print_completion"]
        values = {}
        for field in dataclasses.fields(self.options):  # type: ignore[arg-type]
            if not field.metadata:
                continue
            value = parsed.pop(field.name)
            if field.metadata.get("positional") and value in (None, []):
                # argparse puts the default over what the file says.
                value = configured.get(field.name, value)
            values[field.name] = _as_type(self._hints[field.name], value)
        try:
            return self.options(**values), parsed
        except OptionError as error:
            self._refuse(str(error))

    def _add(self, group: Any, field: dataclasses.Field[Any]) -> None:
        """Add the argument of one field."""
        from jsonargparse import ActionYesNo

        metadata = field.metadata
        hint, is_optional = without_none(self._hints[field.name])
        default = self._defaults.get(field.name, field.default)
        is_required = default is dataclasses.MISSING
        default = None if is_required else _plain(default)
        arguments: dict[str, Any] = {"default": default}
        description = str(metadata["description"]).rstrip(".").replace("%", "%%")
        if not is_required and default is not False and default not in (None, "", []):
            shown = " ".join(map(str, default)) if isinstance(default, list) else default
            shown = "yes" if hint is bool else shown
            description += f" (default: {shown})".replace("%", "%%")
        arguments["help"] = description
        if _is_bool(hint):
            group.add_argument(
                flag(field.name),
                action=ActionYesNo(yes_prefix="", no_prefix="no-"),
                **arguments,
            )
            return
        member = hint
        if get_origin(hint) is tuple:
            members = get_args(hint)
            member = members[0]
            if metadata.get("repeated"):
                arguments["action"] = "append"
            else:
                arguments["nargs"] = "*" if members[-1] is Ellipsis else len(members)
        if metadata.get("metavar") is not None:
            arguments["metavar"] = metadata["metavar"]
        choices = get_args(member) if get_origin(member) is Literal else metadata.get("choices", ())
        arguments["type"] = _reader(field.name, member, is_optional, choices)
        if choices:
            self._choices[field.name] = choices
            arguments.setdefault("metavar", "{" + ",".join(map(str, choices)) + "}")
        if metadata.get("positional"):
            if is_required:
                del arguments["default"]
            elif "nargs" not in arguments:
                arguments["nargs"] = "?"
            group.add_argument(field.name, **arguments)
            return
        arguments.setdefault("metavar", field.name.upper())
        names = [metadata["short"]] if metadata.get("short") else []
        names.append(metadata.get("spelling") or flag(field.name))
        group.add_argument(*names, dest=field.name, required=is_required, **arguments)

    def _refuse_old_spellings(self, given: Sequence[str]) -> None:
        """Name the new spelling of an option that had another one."""
        switches = {flag(name) for name, hint in self._hints.items() if _is_bool(hint)}
        for word, following in zip(given, [*given[1:], ""], strict=False):
            if word == "--":
                return
            name, assigned, value = word.partition("=")
            if name in self.renamed:
                self._refuse(f"{name} is gone; write {self.renamed[name]}")
            value = (value if assigned else following).lower()
            if name in switches and (assigned or value in _TRUE or value in _FALSE):
                new = name if value in _TRUE else f"--no-{name[2:]}"
                self._refuse(f"{name} takes no value; write {new}")

    def _print_completion(self, given: Sequence[str]) -> None:
        """Print a shell's completion script and exit, if that is asked for."""
        words = [text for word in given for text in word.split("=", 1)]
        if _COMPLETION not in words:
            return
        try:
            import shtab
        except ImportError:
            self._refuse(f"{_COMPLETION} needs shtab; pip install 'monodepth2_ros[completion]'")
        shell = (words[words.index(_COMPLETION) + 1 :] or [""])[0]
        if shell not in shtab.SUPPORTED_SHELLS:
            known = ", ".join(shtab.SUPPORTED_SHELLS)
            self._refuse(f"{_COMPLETION} is '{shell}'; it takes {known}")
        for action in self.parser._actions:
            if action.dest in self._choices:
                action.choices = [str(choice) for choice in self._choices[action.dest]]
        print(shtab.complete(self.parser, shell))
        sys.exit(0)

    def _read_configs(self, given: Sequence[str]) -> dict[str, Any]:
        """Check config files, with better words than the parser has; return what they say."""
        fields = {field.name for field in dataclasses.fields(self.options) if field.metadata}  # type: ignore[arg-type]
        others = {action.dest for action in self.parser._actions} - fields
        said: dict[str, Any] = {}
        for place, word in enumerate(given):
            name, assigned, text = word.partition("=")
            if name != "--config" or (not assigned and place + 1 == len(given)):
                continue
            path = user_path(text if assigned else given[place + 1])
            try:
                content = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, yaml.YAMLError) as error:
                self._refuse(f"--config {path} cannot be read: {' '.join(str(error).split())}")
            if content is None:
                continue
            if not isinstance(content, dict):
                self._refuse(f"--config {path} must hold a mapping, such as 'out: folder'")
            for key, value in content.items():
                old = flag(str(key))
                if old in self.renamed:
                    self._refuse(f"--config {path}: {key} is gone; write {self.renamed[old]}")
                if key in others:
                    continue
                if key not in fields:
                    self._refuse(f"--config {path}: there is no option '{key}'")
                if isinstance(value, str) and without_none(self._hints[key])[0] is float:
                    value = _as_number(value)  # YAML takes 1e-5 for text
                if isinstance(value, bool) and without_none(self._hints[key])[0] is str:
                    value = _as_text(value)  # and true or on for True
                try:
                    check_type(str(key), self._hints[key], value)
                except OptionError as error:
                    self._refuse(f"--config {path}: {error}")
            said.update(content)
        return said

    def _refuse(self, message: str, error: Exception | None = None) -> NoReturn:
        """End with status 2 and one sentence."""
        del error
        sentence = " ".join(str(message).split())
        print(f"{self.command}: {sentence} (see {self.command} --help)", file=sys.stderr)
        sys.exit(2)


def _reader(
    name: str, hint: Any, is_optional: bool, choices: tuple[Any, ...]
) -> Callable[[Any], Any]:
    """Make a type for argparse: text, or a config file's value, to plain data."""
    renamed = OLD_VALUES.get(name, {})

    def read(value: Any) -> Any:
        if value is None or (is_optional and value in ("null", "auto")):
            return None
        if choices:
            known = {str(choice): choice for choice in choices}
            value = _as_text(value)
            if value not in known:
                if renamed.get(value) in known:
                    raise argparse.ArgumentTypeError(f"{value} is gone; write {renamed[value]}")
                raise argparse.ArgumentTypeError(f"'{value}' given; it takes {', '.join(known)}")
            return known[value]
        if hint in (int, float):
            try:
                number = hint(value)
                if not math.isfinite(number):
                    raise ValueError(value)
            except (ValueError, OverflowError) as error:
                raise argparse.ArgumentTypeError(
                    f"'{value}' given; it takes {expected(hint)}"
                ) from error
            return number
        return str(value)

    return read


def _is_bool(hint: Any) -> bool:
    """Whether an option is on or off."""
    return without_none(hint)[0] is bool


def _as_text(value: Any) -> str:
    """Write a value as on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_number(text: str) -> Any:
    """Read a number; leave other text as it is."""
    try:
        return float(text)
    except ValueError:
        return text


def _as_type(hint: Any, value: Any) -> Any:
    """Turn plain data into what a field holds."""
    hint, _ = without_none(hint)
    if value is None:
        return None
    if get_origin(hint) is tuple:
        member = get_args(hint)[0]
        return tuple(_as_type(member, item) for item in value)
    if hint is Path:
        return user_path(value)
    if hint is float:
        return float(value)
    return value


def _plain(default: Any) -> Any:
    """Turn a field's default into plain data."""
    if isinstance(default, tuple):
        return [_plain(item) for item in default]
    return str(default) if isinstance(default, Path) else default
