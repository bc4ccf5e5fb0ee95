# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are not what their name says: Git LFS pointers, web pages, nothing at all."""

from __future__ import annotations

import contextlib
from pathlib import Path

_LFS = b"version https://git-lfs.github.com/spec/"
_PAGES = (b"<!doctype html", b"<html", b"<?xml")


def describe_impostor(path: Path) -> str:
    """Say what a file is in place of what was expected, "" if nothing of that kind is seen.

    Parameters
    ----------
    path : Path
        A file, or a folder whose files are looked at.

    Returns
    -------
    str
        A sentence that begins with the file's path and ends with the fix.
    """
    with contextlib.suppress(OSError):
        if path.is_dir():
            said = (describe_impostor(file) for file in sorted(path.iterdir()) if file.is_file())
            return next((text for text in said if "Git LFS" in text), "")
        if path.exists() and not path.is_file():  # whoever reads a pipe may wait for ever
            return f"{path} is a pipe, socket or device; save what it gives as a file"
        with path.open("rb") as file:
            begin = file.read(128)
        if begin.startswith(_LFS):
            return (
                f"{path} is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull' "
                "in its repository"
            )
        if not begin:
            return f"{path} is empty (0 bytes); copy or download it again"
        if begin.lstrip().lower().startswith(_PAGES) and path.suffix not in (".xml", ".html"):
            return f"{path} is a page of a web site, not the file itself; download it again"
    return ""
