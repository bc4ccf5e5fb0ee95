# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an extraction knows about its frames, in addition to them: plain data that is saved."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.typed_files import Count, Index, as_structure
from training.frames.store import Source

#: Frames from one to its neighbour.
Spacing = Annotated[int, Meta(ge=1, lt=2**31)]


@dataclass
class CameraReport:
    """What became of a camera's frames; plain data for report.json.

    Attributes
    ----------
    recording, topic : str
    seen, kept : int
        Frames delivered and stored.
    first_frame : int
        Index of the first stored frame.
    left_out, segment_ends : dict
        Numbers by reason.
    segments : int
    spacing : int
    samples : int
        Frames with a neighbour on both sides at their segment's spacing.
    motion : list of dict
        Median motion measured at spacing 1, 2, … up to the chosen one.
    flow : list of float
        Motion since the last kept frame of each kept frame that has one, share of the width.
    truth_frames, pose_frames : int
        Stored frames with truth and with a pose.
    truth_problems : dict
        Numbers by reason.
    truth : dict
        Topic, unit, valid share and depth of the ground truth, and its agreement with the motion
        of the images where there are poses.
    joins : list of dict
        How image, camera_info and ground truth were chosen, see
        :meth:`monodepth2_ros.recordings.joins.Choice.as_dict`.
    bit_depth : int
        Bits that the samples of the images use.
    poses_from : str
    pose_check : dict
        Fields of :class:`training.extraction.pose_check.PoseCheck`; empty without poses.
    baseline : float
        Metres to the stereo partner, 0 for none.
    notes : list of str
    verdict : dict
        Fields of :class:`training.extraction.verdict.Verdict`.
    """

    recording: str
    topic: str
    seen: Count = 0
    kept: Count = 0
    first_frame: Count = 0
    left_out: dict[str, int] = field(default_factory=dict)
    segment_ends: dict[str, int] = field(default_factory=dict)
    segments: Count = 0
    spacing: Spacing = 1
    samples: Count = 0
    motion: list[dict[str, Any]] = field(default_factory=list)
    flow: list[float] = field(default_factory=list)
    truth_frames: Count = 0
    pose_frames: Count = 0
    truth_problems: dict[str, int] = field(default_factory=dict)
    truth: dict[str, Any] = field(default_factory=dict)
    joins: list[dict[str, Any]] = field(default_factory=list)
    bit_depth: int = 8
    poses_from: str = ""
    pose_check: dict[str, Any] = field(default_factory=dict)
    baseline: float = 0.0
    notes: list[str] = field(default_factory=list)
    verdict: dict[str, Any] = field(default_factory=dict)


@dataclass
class Book:
    """What is known about the frames in addition to them; saved with them.

    Attributes
    ----------
    cameras : list of PinholeCamera
    baselines : list of float
        One for each camera.
    sources : list of Source
    segment_spacing, segment_source : list of int
        One for each segment.
    reports : list of CameraReport
        One for each camera of each recording that is finished.
    """

    cameras: list[PinholeCamera] = field(default_factory=list)
    baselines: list[float] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    segment_spacing: list[Spacing] = field(default_factory=list)
    segment_source: list[Index] = field(default_factory=list)
    reports: list[CameraReport] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.baselines) != len(self.cameras):
            raise ValueError(f"{len(self.cameras)} cameras, {len(self.baselines)} baselines")
        if len(self.segment_spacing) != len(self.segment_source):
            raise ValueError(
                f"{len(self.segment_spacing)} segment_spacing, {len(self.segment_source)} "
                "segment_source"
            )

    def to_state(self) -> dict[str, Any]:
        """Return plain data for :meth:`training.frames.store.FrameStoreWriter.save`."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Any, partial: Path) -> Book:
        """Restore from :meth:`to_state`.

        Parameters
        ----------
        state : object
        partial : Path
            The unfinished store that it was saved in, for messages.

        Raises
        ------
        ValueError
            If it is not what :meth:`to_state` gives.
        """
        place = f"the progress in {partial} cannot be used (remove {partial} to begin again)"
        return as_structure(state, cls, place, ValueError)

    def camera_index(self, camera: PinholeCamera, baseline: float) -> int:
        """Return the index of a camera, which is added if it is new."""
        for index, known in enumerate(self.cameras):
            if known == camera and self.baselines[index] == baseline:
                return index
        self.cameras.append(camera)
        self.baselines.append(baseline)
        return len(self.cameras) - 1

    @property
    def segments(self) -> int:
        """Number of segments so far."""
        return len(self.segment_spacing)
