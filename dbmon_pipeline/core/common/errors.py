"""Errors that a user can meet, in one tree.

An error names the thing, says what was expected, and carries the remedy. The faces print
``str(error)`` on one line and never a traceback. Nothing here knows an exit code: a command does.
"""

from __future__ import annotations


class DbmonError(Exception):
    """Base error: something went wrong that a person can act upon.

    Attributes:
        message: What went wrong, on one line.
        remedy: What to do about it, an imperative sentence without the full stop.
    """

    def __init__(self, message: str, *, remedy: str) -> None:
        """Keep the message on one line, whatever a library wrote into it."""
        self.remedy = remedy
        self.message = " ".join(message.split())
        super().__init__(self.message)

    def __str__(self) -> str:
        """Return the message and its remedy, on one line."""
        return f"{self.message}: {self.remedy}"


class ConfigError(DbmonError):
    """Error of configuration: the rules file, a variable or an argument cannot be understood."""


class SourceError(DbmonError):
    """Error of the source: it cannot be read as a table of executions."""


class ContractError(SourceError):
    """Contract error: the source lacks the table, a required column, or a usable type of one."""


class SourceLockedError(SourceError):
    """Lock error: another process holds the source open for writing."""


class SourceChangingError(SourceError):
    """Read error: the owner writes the source so often that no reading of it held.

    Its message names the file, and how many readings were thrown away within how many seconds.
    """


class SourceShrankError(SourceError):
    """Source error: the source no longer holds much of what was read from it."""


class ArchiveError(DbmonError):
    """Archive error: old rows changed meanwhile, or another file is in the way."""


class BackupError(DbmonError):
    """Backup error: a backup cannot be made there, or is none that can be restored."""


class HomeError(DbmonError):
    """Home error: the working folder cannot be used."""


class HomeBusyError(HomeError):
    """Lock error: another process works in the home at this moment."""


class StorageError(HomeError):
    """Storage error: writing into the home failed, as the disk is full or a file is damaged."""


class OutputError(DbmonError):
    """Output error: a requested file cannot be written."""


class RefreshError(DbmonError):
    """Refresh error: a refresh was refused or stopped before it could publish."""


class NotPublishedError(DbmonError):
    """Publication error: there is no published data, or not the requested table."""


class QuestionError(DbmonError):
    """Question error: a question, filter, range or metric does not exist."""


class TimeoutExceededError(DbmonError):
    """Timeout error: an answer took longer than its time limit."""


class ReaderError(DbmonError):
    """Reader error: the reader process failed, or cannot be started."""


class ReaderDiedError(ReaderError):
    """Reader error: the reader process ended in the middle of a request."""


class LoadError(DbmonError):
    """Load error: a file of executions cannot be loaded."""


class ExportError(DbmonError):
    """Export error: files for another program cannot be made from the rules, or written."""


class IncidentError(DbmonError):
    """Incident error: the store cannot be used, or has no such incident or silence."""


class ReportError(DbmonError):
    """Report error: a report cannot be written to its place."""


class NotificationError(DbmonError):
    """Notification error: a target could not be notified; the sender will try again.

    Attributes:
        notified: The numbers of the notifications that were delivered all the same.
    """

    def __init__(self, message: str, *, remedy: str, notified: tuple[int, ...] = ()) -> None:
        """Keep the numbers."""
        self.notified = notified
        super().__init__(message, remedy=remedy)
