# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments of the launch files: one for each parameter of the node, checked before it starts.

launch itself accepts any argument, whether a launch file declares it or not, hands the arguments
of one included file on to the next, and starts a node with its defaults where the parameter file
does not exist. The functions here let the launch files refuse such mistakes by name. They work on
the objects of `launch` without importing it.
"""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monodepth2_ros.node.parameters import BY_NAME, PARAMETERS, Parameter
from monodepth2_ros.user_paths import user_path

#: Start of the parameters with which ROS changes the QoS of a topic; their names are not declared.
QOS_OVERRIDES = "qos_overrides."

# Fast DDS 3 (Kilted and later) reads the first, Fast DDS 2 (Humble, Jazzy) only the second.
_PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")

# Arguments that launch takes for itself.
_OF_LAUNCH = ("launch-prefix", "launch-prefix-filter")

# A topic as the command line may name it; {node} and the like are replaced by rcl.
_TOKEN = r"(?:[A-Za-z_]|\{\w+\})(?:\w|\{\w+\})*"
_TOPIC = re.compile(rf"(?:~?/)?{_TOKEN}(?:/{_TOKEN})*", re.ASCII)

_BOOLEANS = {"true": True, "false": False}


class LaunchArgumentError(RuntimeError):
    """A launch argument is unknown or has an unusable value; the message names it and the fix."""


def profile_environment(environment: Mapping[str, str], profile: Path) -> dict[str, str]:
    """Return the variables that let Fast DDS use a profile; none where the user chose another.

    Parameters
    ----------
    environment : mapping
        As it is.
    profile : Path
        config/fastdds.xml.
    """
    if any(environment.get(variable) for variable in _PROFILE_VARIABLES):
        return {}
    return dict.fromkeys(_PROFILE_VARIABLES, str(profile))


@dataclass(frozen=True)
class LaunchArgument:
    """A launch argument, as several launch files declare it.

    Attributes
    ----------
    name : str
    description : str
    choices : list of str or None
        The values it may have, with the empty one, which leaves the parameter file's value.
    default : str
    """

    name: str
    description: str
    choices: list[str] | None = None
    default: str = ""


#: Arguments that several launch files have, apart from the node's parameters.
SHARED_ARGUMENTS = (
    LaunchArgument("name", "Name of the node.", default="depth"),
    LaunchArgument("namespace", "Namespace of the node and its topics."),
    LaunchArgument(
        "params_file", "YAML file with the node's parameters; empty: config/depth.yaml."
    ),
    LaunchArgument(
        "camera_info",
        "Topic of the camera's calibration; empty: camera_info in the namespace of the image "
        "topic.",
    ),
    LaunchArgument(
        "use_sim_time", "true takes the time from /clock, as a simulator or a player gives it."
    ),
    LaunchArgument(
        "log_level",
        "Lowest severity of the node's log messages; empty: info.",
        ["", "debug", "info", "warn", "error", "fatal"],
    ),
    LaunchArgument(
        "fixed_frame",
        "rviz's Fixed Frame, a frame that TF connects with the camera's; empty: the frame of the "
        "camera, from the first depth image.",
    ),
)


def node_arguments(*names: str, without: Iterable[str] = ()) -> list[LaunchArgument]:
    """Return the shared arguments of these names, and one for each parameter but some."""
    shared = {argument.name: argument for argument in SHARED_ARGUMENTS}
    return [*(shared[name] for name in names), *parameter_arguments(without)]


def parameter_arguments(without: Iterable[str] = ()) -> list[LaunchArgument]:
    """Return a launch argument for each parameter of the node, except those named."""
    return [
        LaunchArgument(
            parameter.name,
            _describe(parameter),
            ["", *parameter.choices] if parameter.choices else None,
        )
        for parameter in PARAMETERS
        if parameter.name not in without
    ]


def _describe(parameter: Parameter) -> str:
    """Return a parameter's description with its type, default and range."""
    words = f"{parameter.description} ({parameter.type_name}, default {_as_text(parameter.default)}"
    if parameter.minimum is not None and parameter.maximum is not None:
        words += f", {parameter.minimum:g} to {parameter.maximum:g}"
    return f"{words})"


def _as_text(value: bool | int | float | str | tuple[float, ...] | tuple[str, ...]) -> str:
    """Return a value as it is written in a launch argument."""
    if isinstance(value, bool):
        return str(value).lower()
    if value == ("",):
        return "['']"
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return str(value) or "empty"


def read_boolean(name: str, text: str) -> bool:
    """Read a boolean launch argument; True and TRUE are taken as well as true.

    Raises
    ------
    LaunchArgumentError
        If it is neither true nor false.
    """
    if text.lower() not in _BOOLEANS:
        raise LaunchArgumentError(f"{name}:={text} is not a boolean; give true or false")
    return _BOOLEANS[text.lower()]


def read_number(name: str, text: str, above: float = -math.inf, least: float = -math.inf) -> float:
    """Read a finite number from a launch argument.

    Parameters
    ----------
    name, text : str
        The argument and its value.
    above, least : float
        Exclusive and inclusive lower bound.

    Raises
    ------
    LaunchArgumentError
        If it is none, or out of range.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise LaunchArgumentError(
            f"{name}:={text} is not a finite number; write, for example, {name}:=1.0"
        )
    if number <= above:
        raise LaunchArgumentError(f"{name}:={text} is out of range; give a number above {above:g}")
    if number < least:
        raise LaunchArgumentError(f"{name}:={text} is out of range; give at least {least:g}")
    return number


def read_parameters(values: Mapping[str, str]) -> dict[str, Any]:
    """Turn launch arguments into values of the node's parameters.

    Parameters
    ----------
    values : mapping of str to str
        Launch arguments; those that are empty or set no parameter are left out.

    Returns
    -------
    dict of str to bool, int, float, str or list of float

    Raises
    ------
    LaunchArgumentError
        If a value is not of the parameter's type, or out of its range.
    """
    parameters: dict[str, Any] = {
        parameter.name: _read(parameter, values[parameter.name])
        for parameter in PARAMETERS
        if values.get(parameter.name, "")
    }
    for name, text in values.items():
        if name.startswith(QOS_OVERRIDES):
            parameters[name] = _load(name, text)
    return parameters


def _read(parameter: Parameter, text: str) -> Any:
    """Read a parameter's value as its type, and check it."""
    value: Any = text
    if parameter.is_switch:
        value = parameter.plain(_load(parameter.name, text))
    elif isinstance(parameter.default, bool):
        value = read_boolean(parameter.name, text)
    elif parameter.is_list_of_names:
        value = _load(parameter.name, text)
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise LaunchArgumentError(
                f"{parameter.name}:={text} is not a list of names; write, for example, "
                f"{parameter.name}:=[front,rear]"
            )
    elif not isinstance(parameter.default, str):
        value = _load(parameter.name, text)
        numbers = value if isinstance(parameter.default, tuple) else [value]
        kinds = int if isinstance(parameter.default, int) else (int, float)
        if not isinstance(numbers, list) or not all(
            isinstance(number, kinds) and not isinstance(number, bool) for number in numbers
        ):
            raise LaunchArgumentError(
                f"{parameter.name}:={text} is not of type {parameter.type_name}; write, for "
                f"example, {parameter.name}:={_as_text(parameter.default)}"
            )
        if isinstance(parameter.default, tuple):
            value = [float(number) for number in numbers]
        elif isinstance(parameter.default, float):
            value = float(value)
    refusal = parameter.check(value)
    if refusal:
        raise LaunchArgumentError(f"launch argument {refusal}")
    return value


def _load(name: str, text: str) -> Any:
    """Read a value as YAML."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise LaunchArgumentError(f"{name}:={text} cannot be read as a YAML value") from None
    # YAML takes 1e-3 for text.
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


# What launch was given


def argument_values(
    context: Any, declared: Mapping[str, str], warn: Any = lambda message: None
) -> dict[str, str]:
    """Return the values of a launch file's arguments, after a check of their names.

    Call it in an OpaqueFunction of the launch file. It looks for the IncludeLaunchDescription that
    included the file (`ros2 launch` includes the file that it is given, too) among the entities
    that launch is visiting.

    Parameters
    ----------
    context : launch.LaunchContext
    declared : mapping of str to str
        The file's own arguments with their defaults.
    warn : callable, optional
        Called with a message about a value that is not used.

    Returns
    -------
    dict of str to str
        A value for each declared argument, and those of `qos_overrides.` that were given.

    Raises
    ------
    LaunchArgumentError
        If an argument was given that is not declared.
    """
    configurations = context.launch_configurations
    values = {name: configurations.get(name, default) for name, default in declared.items()}
    ancestors = list(_visited_entities())
    place = next((i for i, entity in enumerate(ancestors) if _is_include(entity)), None)
    if place is None:
        return values
    given = _given(context, ancestors[place])
    check_names(given, declared)
    values |= {name: text for name, text in given.items() if name.startswith(QOS_OVERRIDES)}

    # What stands around the include may set arguments for it. What another include next to it was
    # given is still there as well (launch forgets it only at the end of a GroupAction), and is
    # meant for that one.
    around = {name for entity in ancestors[place + 1 :] for name in _names_set_by(context, entity)}
    for name, default in declared.items():
        if name not in given and name not in around and values[name] != default:
            warn(
                f"{name}:={values[name]} was given to another include of this launch file and is "
                f"not used here; give {name} to this include too if it is meant for both, and put "
                "each include into a GroupAction"
            )
            values[name] = default
    return values


def check_names(given: Iterable[str], declared: Iterable[str]) -> None:
    """Refuse launch arguments that are not declared.

    Raises
    ------
    LaunchArgumentError
        Names the unknown ones and what is like them.
    """
    known = list(declared)
    unknown = [
        name
        for name in given
        if name not in known and name not in _OF_LAUNCH and not name.startswith(QOS_OVERRIDES)
    ]
    if not unknown:
        return
    said = []
    for name in unknown:
        similar = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
        # A parameter of a group by the name in its group: stride for points.stride.
        similar += [k for k in known if k.rpartition(".")[2] == name and k not in similar]
        group, _, rest = name.partition(".")
        if rest and difflib.get_close_matches(group, [QOS_OVERRIDES.rstrip(".")]):
            similar = [f"{QOS_OVERRIDES}{rest}"]
        said.append(f"{name} (did you mean {' or '.join(similar)}?)" if similar else name)
    raise LaunchArgumentError(
        f"unknown launch argument {', '.join(said)}; --show-args lists those there are"
    )


def _visited_entities() -> Iterator[Any]:
    """Yield the entities that launch is visiting, the innermost first.

    launch keeps no record of them: its function visit_all_entities_and_collect_futures calls itself
    for the entities inside an entity, so they are on the stack.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "visit_all_entities_and_collect_futures":
            yield frame.f_locals["entity"]
        frame = frame.f_back  # type: ignore[assignment]


def _is_include(entity: Any) -> bool:
    """Say whether an entity includes a launch file."""
    return any(kind.__name__ == "IncludeLaunchDescription" for kind in type(entity).__mro__)


def _given(context: Any, include: Any) -> dict[str, str]:
    """Return the arguments that an include was given."""
    return {
        _perform(context, name): _perform(context, value)
        for name, value in include.launch_arguments
    }


def _names_set_by(context: Any, entity: Any) -> Iterator[str]:
    """Yield the names of the launch configurations that an entity sets for what is inside it."""
    if _is_include(entity):
        yield from _given(context, entity)
        return
    inside = getattr(entity, "entities", None)
    if inside is None and type(entity).__name__ == "GroupAction":
        inside = entity.get_sub_entities()
    for child in inside or ():
        if type(child).__name__ in ("DeclareLaunchArgument", "SetLaunchConfiguration"):
            yield _perform(context, child.name)


def _perform(context: Any, value: Any) -> str:
    """Return the text of a string, a substitution, or a sequence of them."""
    if isinstance(value, str):
        return value
    if hasattr(value, "perform"):
        return str(value.perform(context))
    return "".join(_perform(context, part) for part in value)


# The parameter file


def check_params_file(text: str, namespace: str, name: str) -> Path:
    """Check that a parameter file exists and has parameters for a node.

    Parameters
    ----------
    text : str
        Path of the file.
    namespace, name : str
        Namespace and name of the node.

    Returns
    -------
    Path
        With ~ expanded.

    Raises
    ------
    LaunchArgumentError
        If it cannot be read, or nothing in it is for the node.
    """
    path = user_path(text)
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise LaunchArgumentError(f"params_file:={path} {problem}; give a YAML file of parameters")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LaunchArgumentError(f"params_file:={path} cannot be read: {error}") from error
    sections = list(_sections(content, ""))
    node = "/" + "/".join(filter(None, [*namespace.split("/"), name]))
    if not any(_matches(section, node) for section in sections):
        found = f"only for {', '.join(sections)}" if sections else "no section ros__parameters"
        raise LaunchArgumentError(
            f"params_file:={path} has no parameters for the node {node} ({found}); begin it with "
            "'/**:' and, one level deeper, 'ros__parameters:'"
        )
    return path


def _sections(content: Any, prefix: str) -> Iterator[str]:
    """Yield the node names for which a parameter file has parameters."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if key == "ros__parameters":
            yield prefix or "/"
        else:
            yield from _sections(value, f"{prefix}/{str(key).strip('/')}")


def _matches(section: str, node: str) -> bool:
    """Say whether a section of a parameter file is for a node, with the wildcards of rcl.

    One star stands for a token, two for any number of them.
    """
    pattern = ""
    for token in section.strip("/").split("/"):
        pattern += {"**": "(/[^/]+)*", "*": "/[^/]+"}.get(token, "/" + re.escape(token))
    return re.fullmatch(pattern, node) is not None


# Several cameras


def read_cameras(
    text: str, allowed: Iterable[str], common: Mapping[str, str]
) -> list[dict[str, str]]:
    """Read the list of cameras of cameras.launch.py.

    The file is a YAML list with an entry for each camera, or a mapping with that list under
    `cameras` and, under `defaults`, what is the same for all. Entries are launch arguments of
    depth.launch.py; parameters of a group may be written as `points: {stride: 2}`.

    Parameters
    ----------
    text : str
        Path of the file.
    allowed : iterable of str
        Names that an entry may have.
    common : mapping of str to str
        Arguments for all cameras from the command line. They go before `defaults`; an entry goes
        before both.

    Returns
    -------
    list of dict of str to str
        The arguments for each camera.

    Raises
    ------
    LaunchArgumentError
        If the file cannot be read or an entry is wrong, with the camera and the key.
    """
    if not text:
        raise LaunchArgumentError("no list of cameras is given; add cameras:=<YAML file>")
    path = user_path(text)
    if not path.is_file():
        raise LaunchArgumentError(f"cameras:={path} does not exist; give a YAML file of cameras")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LaunchArgumentError(f"cameras:={path} cannot be read: {error}") from error
    defaults: Any = {}
    entries = content
    if isinstance(content, dict):
        unknown = ", ".join(str(key) for key in content if key not in ("cameras", "defaults"))
        if unknown:
            raise LaunchArgumentError(
                f"{path}: unknown key {unknown}; there are 'defaults' and 'cameras'"
            )
        defaults = content.get("defaults") or {}
        entries = content.get("cameras")
    if not isinstance(entries, list) or not entries:
        raise LaunchArgumentError(
            f"{path} has no list of cameras; write, for each, '- namespace: front' and under it "
            "'image: /front/image_raw'"
        )
    known = list(allowed)
    shared = {**_camera_entry(path, "defaults", defaults, known), **common}
    cameras = []
    for index, entry in enumerate(entries, 1):
        place = f"camera {index}"
        if isinstance(entry, dict) and entry.get("namespace"):
            place += f" ({entry['namespace']})"
        camera = {**shared, **_camera_entry(path, place, entry, known)}
        for needed in ("namespace", "image"):
            if not camera.get(needed):
                raise LaunchArgumentError(f"{path}: {place} has no {needed}")
        try:
            read_parameters(camera)
            input_topics(dict(camera))
        except LaunchArgumentError as error:
            raise LaunchArgumentError(f"{path}: {place}: {error}") from error
        cameras.append(camera)
    # Outputs lie in the namespace, so each camera needs its own.
    names = [camera["namespace"].strip("/") for camera in cameras]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise LaunchArgumentError(
                f"{path}: cameras {names.index(name) + 1} and {index + 1} are both in namespace "
                f"{name}, where their outputs would mix; give each its own"
            )
    return cameras


def input_topics(values: dict[str, str]) -> dict[str, str]:
    """Return the topics of a camera's images and camera_info, from launch arguments.

    Parameters
    ----------
    values : dict of str to str
        With ``image`` and, where they are given, ``camera_info`` and ``image_transport``, which is
        set to compressed here if the name of the image topic says so.

    Returns
    -------
    dict of str to str
        By the names that the node has for them.

    Raises
    ------
    LaunchArgumentError
        If something cannot be the name of a topic.
    """
    given = values.get("image") or "image"
    for name, topic in (("image", given), ("camera_info", values.get("camera_info", ""))):
        if topic and not _TOPIC.fullmatch(topic):
            raise LaunchArgumentError(
                f"{name}:={topic} cannot be the name of a topic; write letters, digits and _ "
                f"between single slashes, such as {name}:=/camera/{name}"
            )
    image = given.removesuffix("/compressed")
    if image != given and not values.get("image_transport"):
        values["image_transport"] = "compressed"
    parent, slash, _ = image.rpartition("/")
    return {
        "image": image,
        "image/compressed": f"{image}/compressed",
        "camera_info": values.get("camera_info") or f"{parent}{slash}camera_info",
    }


# Arguments of a camera that one node for all of them has no use for.
_OF_ONE_NODE = ("name", "rviz", "fixed_frame")

# Arguments that are neither parameters nor topics, and the same for all cameras of one node.
_OF_PROCESS = ("params_file", "use_sim_time", "log_level")


def join_cameras(
    cameras: list[dict[str, str]],
) -> tuple[dict[str, str], dict[str, Any], dict[str, str]]:
    """Join the cameras of a list in one node.

    Parameters
    ----------
    cameras : list of dict of str to str
        Result of :func:`read_cameras`.

    Returns
    -------
    arguments : dict of str to str
        Those that are the same for all and set no parameter.
    parameters : dict of str to value
        The node's own; what differs between cameras has the camera's name before it.
    topics : dict of str to str
        The inputs, by the names that the node has for them.

    Raises
    ------
    LaunchArgumentError
        If a namespace cannot be the name of a camera, or an entry has what one node cannot have
        for a single camera.
    """
    names = [camera["namespace"].strip("/") for camera in cameras]
    refusal = BY_NAME["cameras"].check(names)
    if refusal:
        raise LaunchArgumentError(f"one_process:=true: {refusal}")
    topics: dict[str, str] = {}
    for name, camera in zip(names, cameras, strict=True):
        topics |= {f"{name}/{topic}": target for topic, target in input_topics(camera).items()}
        for key in _OF_ONE_NODE:
            if camera.get(key):
                raise LaunchArgumentError(
                    f"one_process:=true: camera {name} has {key}; one node serves all cameras, so "
                    "leave it out"
                )
    parameters: dict[str, Any] = {"cameras": names}
    arguments: dict[str, str] = {}
    given = [read_parameters(camera) for camera in cameras]
    for key in dict.fromkeys(key for camera in cameras for key in camera):
        texts = [camera.get(key, "") for camera in cameras]
        is_same = len(set(texts)) == 1
        parameter = BY_NAME.get(key)
        if key in _OF_PROCESS or (parameter is not None and parameter.of_process):
            if not is_same:
                raise LaunchArgumentError(
                    f"one_process:=true: {key} differs between cameras; it is the same for all in "
                    "one process, so move it to 'defaults'"
                )
            if parameter is None:
                arguments[key] = texts[0]
        if key.startswith(QOS_OVERRIDES) or (parameter is not None and is_same):
            for values in given:
                if key in values:
                    parameters[key] = values[key]
        elif parameter is not None:
            for name, values in zip(names, given, strict=True):
                if key in values:
                    parameters[f"{name}.{key}"] = values[key]
    return arguments, parameters, topics


def _camera_entry(path: Path, place: str, entry: Any, known: list[str]) -> dict[str, str]:
    """Return an entry of the list as launch arguments."""
    if not isinstance(entry, dict):
        raise LaunchArgumentError(
            f"{path}: {place} is '{entry}'; write a mapping such as 'image: /front/image_raw'"
        )
    flat = dict(_flatten(entry, ""))
    try:
        check_names(flat, known)
    except LaunchArgumentError as error:
        raise LaunchArgumentError(f"{path}: {place}: {error}") from error
    empty = [key for key, value in flat.items() if value is None]
    if empty:
        raise LaunchArgumentError(f"{path}: {place}: {', '.join(empty)} has no value")
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in flat.items()
    }


def _flatten(entry: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings under dotted keys."""
    for key, value in entry.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
