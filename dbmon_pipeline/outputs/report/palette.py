"""The colours of charts: each has a twin for dark screens, which a style sheet puts in its place.

An attribute of an SVG element gives way to any rule of a style sheet, so the drawing stays as it
is.
"""

INK = "#1f2733"
MUTED = "#5a6472"
GRID = "#dde2e9"
BLUE = "#2c6bb3"
BAND = "#a9c7e8"
RED = "#c2483a"
GREEN = "#2f8560"
AMBER = "#b7760d"

DARK = {
    INK: "#e7ebf1",
    MUTED: "#a3adba",
    GRID: "#3a434f",
    BLUE: "#6ea8e6",
    BAND: "#31537a",
    RED: "#ef8377",
    GREEN: "#5dbd92",
    AMBER: "#e2a94a",
}
"""The colour for a dark screen, by that for paper."""


def dark_rules() -> str:
    """Write the style sheet that turns charts dark."""
    return "\n".join(
        f'figure svg [{attribute}="{colour}"] {{ {attribute}: {dark}; }}'
        for colour, dark in DARK.items()
        for attribute in ("fill", "stroke")
    )
