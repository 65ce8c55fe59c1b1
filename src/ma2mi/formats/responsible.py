"""What an analysis can and cannot say: the words that go with every export."""

from __future__ import annotations

CANDIDATES = (
    "Events are candidates for a person to review, ranked by how far they stand out. Spotting and "
    "then recognising micro-expressions in unseen video is unsolved: published systems reach an "
    "STRS of about 0.01 to 0.09. Expect false alarms and misses."
)
RESPONSIBLE = (
    "It measures movements of the skin and names action units. It does not tell what a person "
    "feels, thinks, intends or hides; a movement has many causes, and classes such as "
    '"negative" describe how movements like it were labelled, not a state of mind.',
    "It is no lie detector and no diagnosis. Micro-expressions are no proof of deception.",
    "Record and analyse people only with their informed consent, and keep faces no longer than "
    "you need them; faces are biometric data. --blur-faces blurs them in everything exported.",
    "In the European Union, the AI Act (Regulation 2024/1689, Article 5(1)(f)) bans inferring "
    "emotions at work and in education, but for medical and safety reasons; elsewhere such "
    "systems are high-risk and people must be told.",
    "Errors are not spread evenly: faces, ages, skin tones, glasses, beards, make-up and "
    "lighting that the methods know less well are read less well.",
)
