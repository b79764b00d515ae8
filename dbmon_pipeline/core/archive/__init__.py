"""Archive: verified monthly exports of a source's old rows."""
