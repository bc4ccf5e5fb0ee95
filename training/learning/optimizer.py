# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""torch's Adam, without its compiler.

torch's optimisers import torch's compiler when they are made, to keep it away from their own
methods. That takes 1.5 to 2 s of processor time, as long as the import of torch itself, and nothing
here compiles an optimiser.
"""

from __future__ import annotations

import inspect

import torch


class EagerAdam(torch.optim.Adam):
    """:class:`torch.optim.Adam` with methods that the compiler was never told of.

    The same steps and the same state; hooks on steps and ``differentiable`` are not supported.
    """

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
