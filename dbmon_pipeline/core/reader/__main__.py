"""``python -m dbmon_pipeline.core.reader``, started by ``core.source.reader_client``.

Nothing heavy is imported before it is ready: what a handler needs, it imports itself.
"""

from __future__ import annotations

from dbmon_pipeline.core.reader.handlers import HANDLERS
from dbmon_pipeline.core.reader.serve import serve

if __name__ == "__main__":
    serve(HANDLERS)
