"""Text from the data is harmless wherever it is shown."""

from __future__ import annotations

from dbmon_pipeline.core.common.safe_text import plain


def test_control_characters_are_removed() -> None:
    """A text from the data stays on its line and turns no other one round."""
    assert plain("a\nb\r\n\tc  d") == "a b c d"
    assert plain("\x1b[31mred\x1b[0m\x00\x7f\x9b") == "[31mred [0m"
    assert plain("abc\u202etxt\u200b\u2066x\ufeff\u2028y") == "abctxtx y"
    assert plain("größer ≥ 3 😀") == "größer ≥ 3 😀"
