"""dbmon_pipeline: monitoring for the database in which an orchestrator of AI agents logs its work.

For notebooks::

    from dbmon_pipeline import open_published

    open_published().ask("success_rate_by_model_tier", "30d")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbmon_pipeline.faces.notebook import open_published

__all__ = ["open_published"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Load what the package offers when it is asked for: no command needs it."""
    if name in __all__:
        from dbmon_pipeline.faces import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
