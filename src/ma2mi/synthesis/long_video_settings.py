"""What happens in a synthetic long video: counts, rates and ranges."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ma2mi.synthesis.behaviour import (
    ExpressionSettings,
    PoseSettings,
    TalkSettings,
)
from ma2mi.synthesis.settings import Range, SyntheticSettings


class LongVideoSettings(BaseModel):
    """What happens in a long video.

    Args:
        duration_s: length.
        micro_count, macro_count, speech_count: how many of each; none overlaps another.
        apart_s: least rest between two of them.
        speech_duration_s: range of the length of an utterance.
        head_move_rate: times a second that the head goes to another pose.
        head_move_px, head_move_deg: deviation of these poses, in 224 px crops and degrees.
        head_move_duration_s: range of the time that it takes.
        other_count: swallowing, yawns and the like, see ``behaviour.OTHERS``.
        expressions: how large and long macro-expressions are; without it as in a short clip.
        talk: speech in syllables and phrases; without it the mouth moves by filtered noise.
        pose: turns, nods and leans of the head; without it the head moves as a picture does.
        scene: everything else; its ``padding_frames`` and ``speech_rate`` mean nothing here, and
            with ``expressions`` its ``macro_intensity`` and ``macro_duration_s`` neither.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    duration_s: float = Field(600.0, gt=0)
    micro_count: int = Field(20, ge=0)
    macro_count: int = Field(10, ge=0)
    speech_count: int = Field(10, ge=0)
    apart_s: float = Field(1.0, ge=0)
    speech_duration_s: Range = (1.5, 6.0)
    head_move_rate: float = Field(0.1, ge=0)
    head_move_px: float = Field(5.0, ge=0)
    head_move_deg: float = Field(2.0, ge=0)
    head_move_duration_s: Range = (0.4, 1.5)
    other_count: int = Field(0, ge=0)
    expressions: ExpressionSettings | None = None
    talk: TalkSettings | None = None
    pose: PoseSettings | None = None
    scene: SyntheticSettings = SyntheticSettings()

    @classmethod
    def lifelike(
        cls, duration_s: float = 60.0, *, scene: SyntheticSettings | None = None
    ) -> LongVideoSettings:
        """What a webcam sees of a subject that talks, shows expressions and moves the head.

        A minute holds 5 macro-expressions, 2 micro-expressions, 2 utterances and 2 other movements.

        Args:
            duration_s: length; below 6 s nothing but the head, blinks and gaze moves.
            scene: size, blinks, noise and so on; by default micro-expressions reach 0.3 to 1.5 px.
        """
        minutes = duration_s / 60
        return cls(
            duration_s=duration_s,
            micro_count=round(2 * minutes),
            macro_count=round(5 * minutes),
            speech_count=round(2 * minutes),
            other_count=round(2 * minutes),
            speech_duration_s=(2.0, 9.0),
            expressions=ExpressionSettings(),
            talk=TalkSettings(),
            pose=PoseSettings(),
            scene=scene or SyntheticSettings(micro_peak_px=(0.3, 1.5), neck_follows=True),
        )

    def per_minute(self, minutes: float) -> LongVideoSettings:
        """The same density of events over another length, at least one of each kind kept."""
        share = minutes * 60 / self.duration_s
        counts = {
            name: max(1, round(getattr(self, name) * share)) if getattr(self, name) else 0
            for name in ("micro_count", "macro_count", "speech_count", "other_count")
        }
        return self.model_copy(update={"duration_s": minutes * 60, **counts})
