"""``python -m ma2mi.cli`` is ``ma2mi``."""

from ma2mi.cli import main

main()
