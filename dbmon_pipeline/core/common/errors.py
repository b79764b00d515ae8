"""Every error that a user can meet, one tree.

An error names the thing, says what was expected, and carries the remedy. The faces print
``str(error)`` on one line and never a traceback. Nothing here knows an exit code: a command does.
"""

from __future__ import annotations


class DbmonError(Exception):
    """Something went wrong that a person can act upon.

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
        """The message and its remedy, on one line."""
        return f"{self.message}: {self.remedy}"


class ConfigError(DbmonError):
    """The rules file, an environment variable or an argument cannot be understood."""


class SourceError(DbmonError):
    """The source database cannot be read as a table of executions."""


class ContractError(SourceError):
    """The source lacks the table, a required column, or a usable type of one."""


class SourceLockedError(SourceError):
    """Another process holds the source open for writing."""


class SourceChangingError(SourceError):
    """The owner writes the source so often that no reading of it held.

    Its message names the file, and how many readings were thrown away within how many seconds.
    """


class SourceShrankError(SourceError):
    """The source no longer holds much of what was read from it."""


class ArchiveError(DbmonError):
    """Old rows cannot be archived: they changed meanwhile, or another file is in the way."""


class BackupError(DbmonError):
    """A backup cannot be made there, or is none that can be restored."""


class HomeError(DbmonError):
    """The working folder cannot be used."""


class HomeBusyError(HomeError):
    """Another process works in the home at this moment."""


class StorageError(HomeError):
    """Writing into the home failed: the disk is full, or a file is damaged."""


class OutputError(DbmonError):
    """A file that was asked for cannot be written."""


class RefreshError(DbmonError):
    """A refresh was refused or stopped before it could publish."""


class NotPublishedError(DbmonError):
    """There is no published data, or not the table that was asked for."""


class QuestionError(DbmonError):
    """A question, a filter, a range or a metric that there is not."""


class TimeoutExceededError(DbmonError):
    """An answer took longer than it was given."""


class ReaderError(DbmonError):
    """The reader process failed, or cannot be started."""


class ReaderDiedError(ReaderError):
    """The reader process ended in the middle of a request."""


class LoadError(DbmonError):
    """A file of executions cannot be loaded."""


class ExportError(DbmonError):
    """Files for another program cannot be made of the rules, or cannot be written."""


class IncidentError(DbmonError):
    """The incident store cannot be used, or has no such incident or silence."""


class ReportError(DbmonError):
    """A report cannot be written where it should be."""


class NotificationError(DbmonError):
    """A target could not be told; it will be tried again.

    Attributes:
        told: The numbers of the notifications that it was told all the same.
    """

    def __init__(self, message: str, *, remedy: str, told: tuple[int, ...] = ()) -> None:
        """Keep the numbers."""
        self.told = told
        super().__init__(message, remedy=remedy)
