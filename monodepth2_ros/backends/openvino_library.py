# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO without its converter of models, which takes half of its import and which no node needs.

``openvino.tools.ovc`` imports an HTTP client, among others, to send statistics. OpenVINO allows for
its absence. It is imported when ``openvino.convert_model`` is called.
"""

from __future__ import annotations

import sys
from typing import Any

_CONVERTER = "openvino.tools.ovc"


def _import_without_converter() -> Any:
    """Import OpenVINO; as a whole if someone has done so before."""
    if "openvino" in sys.modules or _CONVERTER in sys.modules:
        import openvino

        return openvino
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # whoever imports it is refused
    try:
        import openvino
    finally:
        del sys.modules[_CONVERTER]
    if not hasattr(openvino, "convert_model"):
        openvino.convert_model = _convert_model
    return openvino


def _convert_model(*arguments: Any, **options: Any) -> Any:
    """Convert a model; see OpenVINO's function of this name, whose place this one holds."""
    from openvino.tools.ovc import convert_model

    openvino.convert_model = convert_model
    return convert_model(*arguments, **options)


openvino: Any = _import_without_converter()
