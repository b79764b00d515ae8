"""``dbmon prepare``: a home that Dagster's own commands can work in."""

from dbmon_pipeline.core.config.settings import Settings
from dbmon_pipeline.faces.cli.options import HomeOption
from dbmon_pipeline.faces.cli.output import print_result


def prepare(home: HomeOption = None) -> None:
    """Create the Dagster instance of the home, and print its folder, for DAGSTER_HOME.

    Two services that started at the same time in an empty folder would both make its tables.
    """
    settings = Settings.load(home=home)
    from dbmon_pipeline.orchestration.instance import opened

    with opened(settings.home):
        print_result(str(settings.home.dagster))
