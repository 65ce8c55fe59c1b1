"""What becomes of a movement: its score, its flags, and the reason why it is no event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ma2mi.spotting.blinks import Blink
from ma2mi.spotting.block import (
    BROWS,
    JAW,
    LIDS,
    MOUTH,
    TURN_FREE,
    TURN_PX,
    Block,
    Floats,
    shared_time,
    time_iou,
    turned,
)
from ma2mi.spotting.excursions import Excursion
from ma2mi.spotting.holds import Hold, Step
from ma2mi.spotting.pulses import ECHO, Pulse
from ma2mi.spotting.records import BEGUN, BLINK, HEAD, LASTS, SPEECH
from ma2mi.spotting.scorer import learned_scorer
from ma2mi.spotting.settings import SpottingSettings
from ma2mi.spotting.speech import Utterance

EXPLAINED = 0.2  # highest score of a movement that a blink or speech explains
BLINK_SHARE = 0.3  # shared time over that of the shorter of a movement and a blink
BLINK_LENGTHS = 3.0  # brows follow a blink for up to so many times its length
BLINK_S = 0.2  # what a blink takes at least, however little of it the landmarks show
LIPS_S = 0.25  # lips part before the first word and close after the last
TALK_SHARE = 0.5  # of an excursion of the mouth: spoken through for so long, it is the speech
SLOW_TIMES = 2.0  # an expression under speech is this many times as large as one in silence
HEAD_REST = 0.02  # eye distances a second: slower heads count as this fast
TURN_REST = 1.0  # degrees a second: slower turns count as this fast
FAST_HEAD = 0.15  # eye distances a second: an event meanwhile is flagged
TURN_S = 0.2  # the speed of a turn is its way over this long
FAR_HEAD = 6.0  # degrees away from where the head rests: an event meanwhile is flagged
HOLD_TIMES = (
    4 / 3
)  # a held movement has two chances to arise from noise: it must be this much higher
LARGE_PX = 3.0  # an excursion this large is beyond what flow can measure
FLOW_SHARE = 0.2  # of a smaller one flow shows at least so much, or landmarks erred
FIT = 0.75  # with the floor alone: least correlation with a pulse
HEAD_COST = 0.15  # at this speed of the head, eye distances a second, a pulse is twice as high
REPEATS = 2  # with the floor alone: a mouth that moves so often again mumbles or chews
SYLLABLE_S = 0.75  # the longest opening of the mouth that counts as a syllable
AGAIN_S = 0.7  # a mouth that rests longer between two openings begins anew
AGAIN = 2  # other openings beside one of the jaw, from which on they are a rhythm
AGAIN_PX = (0.4, 3.0)  # of its height in px that theirs is
SAME_OPENING = 0.5  # shared time (IoU) of two measurements of one opening
AGAIN_WORDS = "the mouth opens and closes again and again"
FLANK = 0.35  # of a pulse's time, which a flank takes at least; else it comes and goes by itself,
STAYS = 0.7  # unless so much of the flank is left ever since
PART = 0.5  # of the shorter one's time: a pulse in an excursion of its area is part of it


@dataclass(frozen=True, slots=True)
class Assessment:
    """Score in [0, 1], what happens meanwhile, and why it is no event ("" for an event)."""

    score: float
    flags: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What else happens in a block: evidence for or against every movement in it.

    Args:
        block: the stretch.
        turns: [T, 3], yaw, pitch and roll of the head in degrees; 0 where there are no landmarks.
        blinks, utterances: in it.
        openings: pulses that the mouth leads, also of the time before; onset and offset in
            seconds, and px of the crop.
    """

    block: Block
    turns: Floats
    blinks: Sequence[Blink]
    utterances: Sequence[Utterance]
    openings: Sequence[tuple[float, float, float]] = ()

    def opens_again(self, interval: tuple[float, float], height_px: float) -> bool:
        """Whether a movement of the jaw is one of several alike, one after the other.

        Speech shows so where it is too slight, or a codec spoils it too much, for its rhythm; and
        before its first syllable that is found, and after the last.
        """
        brief = interval[1] - interval[0] < SYLLABLE_S
        if brief and self.talk_s((interval[0] - AGAIN_S, interval[1] + AGAIN_S)) > 0:
            return True
        least, most = (share * height_px for share in AGAIN_PX)
        beside = [
            (onset_s, offset_s)
            for onset_s, offset_s, px in self.openings
            if offset_s - onset_s < SYLLABLE_S
            and least <= px <= most
            and onset_s < interval[1] + AGAIN_S
            and offset_s > interval[0] - AGAIN_S
            and time_iou(interval, (onset_s, offset_s)) <= SAME_OPENING
        ]
        return len(beside) >= AGAIN

    def head_speed(self, interval: tuple[float, float], eye_distance_px: float) -> float:
        """The head's highest speed, eye distances a second."""
        inside = self._inside(interval)
        return float(self.block.head_px_s[inside].max(initial=0.0)) / eye_distance_px

    def turn_speed(self, interval: tuple[float, float]) -> float:
        """How fast the head turns at most, degrees a second."""
        radius = max(1, round(TURN_S / 2 / self.block.step_s))
        speed = turned(self.turns, radius) / (2 * radius * self.block.step_s)
        return float(speed[self._inside(interval)].max(initial=0.0))

    def turned(self, interval: tuple[float, float]) -> float:
        """How far the head turns, degrees."""
        turns = self.turns[self._inside(interval)]
        return float(np.linalg.norm(np.ptp(turns, axis=0))) if len(turns) else 0.0

    def blink_share(self, interval: tuple[float, float]) -> float:
        """Largest shared time with a blink, over the shorter of both."""
        wider = ((one.onset_s - 0.1, one.offset_s + 0.1) for one in self.blinks)
        return max((shared_time(interval, blink) for blink in wider), default=0.0)

    def talk_s(self, interval: tuple[float, float]) -> float:
        """Seconds of the interval that are spoken through."""
        return sum(
            max(0.0, min(interval[1], one.offset_s) - max(interval[0], one.onset_s))
            for one in self.utterances
        )

    def _inside(self, interval: tuple[float, float]) -> np.ndarray:
        times = self.block.times
        return (times >= interval[0]) & (times <= interval[1])


def complete_evidence(
    pulses: Sequence[Pulse], meanwhile: Meanwhile, settings: SpottingSettings
) -> list[Pulse]:
    """The pulses with what happens around them: more evidence, and a floor that the head raises."""
    names = meanwhile.block.names
    mouths = [one.apex_s for one in pulses if one.led_by(names, MOUTH)]
    whole = []
    for one in pulses:
        head = meanwhile.head_speed(one.interval, settings.eye_distance_px)
        turned = max(0.0, meanwhile.turned(one.interval) - TURN_FREE)
        raised = float(np.hypot(1, TURN_PX * turned * one.height / one.height_px))
        height = one.height / raised
        near = sum(0 < abs(apex_s - one.apex_s) < 1.5 for apex_s in mouths)
        features = {
            **one.features,
            "height": float(np.log(height)),
            "blink": meanwhile.blink_share(one.interval),
            "talk": meanwhile.talk_s((one.apex_s - 1.0, one.apex_s + 1.0)) / 2.0,
            "head": float(np.log(max(head, HEAD_REST))),
            "turn": float(np.log(max(meanwhile.turn_speed(one.interval), TURN_REST))),
            "repeats": float(min(near, 4)) if one.led_by(names, MOUTH) else 0.0,
        }
        whole.append(replace(one, height=height, raised=raised, features=features))
    return whole


def assess_pulse(
    one: Pulse,
    meanwhile: Meanwhile,
    longer: Sequence[Excursion | Hold],
    settings: SpottingSettings,
    staying: Sequence[Step] = (),
) -> Assessment:
    """Of one movement pulse.

    Args:
        one: its features are complete.
        meanwhile: what happens around it.
        longer: excursions and held movements that are events.
        settings: thresholds.
        staying: flanks that nothing has undone yet.
    """
    least, cut = settings.pulse_threshold, settings.cut
    head = float(np.exp(one.features["head"])) - HEAD_REST
    score, why = _scored(one, head, settings)
    moves = head > FAST_HEAD or meanwhile.turned(one.interval) > FAR_HEAD
    flags = _flags(one.features["blink"] > BLINK_SHARE, meanwhile.talk_s(one.interval) > 0, moves)
    if explanation := is_explained(one, meanwhile):
        score, why = min(score, EXPLAINED), explanation
    elif one.led_by(meanwhile.block.names, JAW) and meanwhile.opens_again(
        one.interval, one.height_px
    ):
        score, why = min(score, EXPLAINED), AGAIN_WORDS
    for other in longer:
        if _is_part(one, other):
            reason = f"part of the movement at {other.onset_s:.2f} s"
            return Assessment(min(score, EXPLAINED), flags, reason)
    if any(_is_flank(one, step) for step in staying):
        return Assessment(min(score, EXPLAINED), flags, "a step: the face stays so")
    if one.height < least:
        words = _below(one.height, least)
        follows = one.height * one.raised >= least
        return Assessment(score, flags, f"follows the head ({words})" if follows else words)
    if one.height_px < settings.least_px:
        return Assessment(score, flags, f"{one.height_px:.2f} px, below {settings.least_px:.2f} px")
    if score < cut:
        words = f"score {score:.2f} below {cut:.2f}"
        return Assessment(score, flags, f"{why} ({words})" if why else words)
    return Assessment(score, flags)


def is_explained(one: Pulse, meanwhile: Meanwhile) -> str:
    """What else accounts for a pulse, in words; "" if nothing does."""
    if _follows_blink(one, meanwhile):
        return "led by the lids: blink"
    if one.led_by(meanwhile.block.names, MOUTH) and meanwhile.talk_s(_wider(one.interval)) > 0:
        return "the mouth moves as in speech"
    return ""


def _is_part(one: Pulse, other: Excursion | Hold) -> bool:
    """In a longer movement of its area, or the echo that its edges have in the filter."""
    if _area(one) not in other.areas:
        return False
    if shared_time(one.interval, other.interval) > PART:
        return True
    edges = any(one.onset_s <= edge_s <= one.offset_s for edge_s in other.interval)
    # Flow measures a held movement as it does a pulse; landmarks show more of a large one.
    share = 1.0 if isinstance(other, Hold) else ECHO
    return edges and one.height_px < share * other.height_px


def _is_flank(one: Pulse, step: Step) -> bool:
    """Whether a pulse is the response of the pulse filter to a flank."""
    if _area(one) != step.area or one.height_px > step.height_px / ECHO:
        return False
    flank = (step.onset_s, step.apex_s)
    goes = flank[1] - flank[0] < FLANK * (one.offset_s - one.onset_s) and step.left < STAYS
    return shared_time(one.interval, flank) > PART and not goes


def _area(one: Pulse) -> str:
    return "brows" if one.features["brows"] > one.features["mouth"] else "mouth"


def _scored(one: Pulse, head: float, settings: SpottingSettings) -> tuple[float, str]:
    """The score, and a word on it if there is one."""
    least = settings.pulse_threshold
    learned = settings.scorer == "learned"
    score = learned_scorer()(one.features) if learned else one.height / (one.height + least)
    needed = least * (1 + head / HEAD_COST)
    why = "follows the head" if head > FAST_HEAD else ""
    if one.height < needed:
        return min(score, one.height / (one.height + needed)), why
    if learned:
        return score, why
    if one.features["repeats"] >= REPEATS:
        return min(score, EXPLAINED), "the mouth moves again and again"
    if one.features["fit"] <= FIT:
        return min(score, EXPLAINED), "has not the shape of a movement that comes and goes"
    return score, ""


def assess_excursion(
    one: Excursion, meanwhile: Meanwhile, settings: SpottingSettings
) -> Assessment:
    """Of one excursion, as :func:`assess_pulse`."""
    least, cut = settings.excursion_threshold, settings.cut
    duration, talk_s = one.offset_s - one.onset_s, meanwhile.talk_s(one.interval)
    blinks = meanwhile.blink_share(one.interval) > BLINK_SHARE and duration <= 1.0
    flags = _flags(blinks, talk_s > 0, one.turned > FAR_HEAD)
    flags += (BEGUN,) * one.begun + (LASTS,) * one.lasts
    score, why = one.height / (one.height + least), ""
    if "brows" not in one.areas and talk_s > TALK_SHARE * duration:
        height, height_px = one.slow_height / SLOW_TIMES, one.slow_px / SLOW_TIMES
        score, why = height / (height + least), "the mouth opens and closes as in speech"
        if height_px < settings.least_excursion_px:
            score = min(score, EXPLAINED)
    elif _opens_again(one, meanwhile):
        score, why = min(score, EXPLAINED), AGAIN_WORDS
    elif one.areas == ("brows",) and _lids_lead(one, meanwhile):
        score, why = min(score, EXPLAINED), "led by the lids: the eyes close"
    elif one.height_px < LARGE_PX and one.flow_share < FLOW_SHARE:
        score, why = min(score, EXPLAINED), "flow does not show it"
    if one.height < least:
        return Assessment(score, flags, _below(one.height, least))
    if one.height_px < settings.least_excursion_px:
        words = f"{one.height_px:.2f} px, below {settings.least_excursion_px:.2f} px"
        return Assessment(score, flags, words)
    if duration < settings.shortest_s:
        return Assessment(score, flags, f"{duration:.2f} s, below {settings.shortest_s:.2f} s")
    if score < cut:
        words = f"score {score:.2f} below {cut:.2f}"
        return Assessment(score, flags, f"{why} ({words})" if why else words)
    return Assessment(score, flags)


def assess_hold(one: Hold, meanwhile: Meanwhile, settings: SpottingSettings) -> Assessment:
    """Of one held movement, as :func:`assess_pulse`."""
    least = HOLD_TIMES * settings.excursion_threshold
    duration, talk_s = one.offset_s - one.onset_s, meanwhile.talk_s(_wider(one.interval))
    flags = _flags(False, talk_s > 0, one.turned > FAR_HEAD)
    score = one.height / (one.height + least)
    flanks = ((one.onset_s, one.apex_s), (one.held_s, one.offset_s))
    spoken = any(meanwhile.talk_s(_wider(flank)) > 0 for flank in flanks)
    if one.areas == ("brows",) and all(_is_blink(flank, meanwhile.blinks) for flank in flanks):
        score = min(score, EXPLAINED)
        return Assessment(score, flags, f"blinks at both ends (score {score:.2f})")
    if "brows" not in one.areas and (spoken or talk_s > TALK_SHARE * duration):
        score = min(score, EXPLAINED)
        words = f"the mouth opens and closes as in speech (score {score:.2f})"
        return Assessment(score, flags, words)
    if one.height < least:
        return Assessment(score, flags, _below(one.height, least))
    if _opens_again(one, meanwhile):
        score = min(score, EXPLAINED)
        return Assessment(score, flags, f"{AGAIN_WORDS} (score {score:.2f})")
    if score < settings.cut:
        return Assessment(score, flags, f"score {score:.2f} below {settings.cut:.2f}")
    return Assessment(score, flags)


def _opens_again(one: Excursion | Hold, meanwhile: Meanwhile) -> bool:
    """Whether the region that moves most is of the jaw, and the jaw opens again and again."""
    leads = meanwhile.block.names[int(np.hypot(*one.moving.T).argmax())] in JAW
    return leads and meanwhile.opens_again(one.interval, one.height_px)


def _lids_lead(one: Excursion, meanwhile: Meanwhile) -> bool:
    """Brows go along with lids that blink, or close for longer."""
    if _is_blink(one.interval, meanwhile.blinks):
        return True
    moving = dict(zip(meanwhile.block.names, one.moving, strict=True))
    lids, brows = (
        max((float(np.hypot(*moving[name])) for name in some if name in moving), default=0.0)
        for some in (LIDS, BROWS)
    )
    down = sum(float(moving[name][1]) for name in LIDS[:2] if name in moving)
    return lids > brows and down > 0


def same_movement(one: Excursion, pulse: Pulse) -> bool:
    """Whether a brief excursion is what a pulse shows more finely."""
    return _area(pulse) in one.areas and time_iou(one.interval, pulse.interval) > 0.3


def _flags(blink: bool, speech: bool, head: bool) -> tuple[str, ...]:
    return (HEAD,) * head + (BLINK,) * blink + (SPEECH,) * speech


def _below(height: float, least: float) -> str:
    return f"{height:.1f} times the noise floor, below {least:.1f}"


def _wider(interval: tuple[float, float]) -> tuple[float, float]:
    return interval[0] - LIPS_S, interval[1] + LIPS_S


def _follows_blink(one: Pulse, meanwhile: Meanwhile) -> bool:
    """Led by the eyes' surroundings while they blink."""
    around_eyes = one.led_by(meanwhile.block.names, LIDS + BROWS)
    return around_eyes and _is_blink(one.interval, meanwhile.blinks)


def _is_blink(interval: tuple[float, float], blinks: Sequence[Blink]) -> bool:
    """Shares its time with a blink, and is not much longer than that takes."""
    return any(
        interval[1] - interval[0] < BLINK_LENGTHS * max(blink.offset_s - blink.onset_s, BLINK_S)
        and shared_time(interval, (blink.onset_s - 0.05, blink.offset_s + 0.05)) > BLINK_SHARE
        for blink in blinks
    )
