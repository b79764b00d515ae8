"""``dbmon prepare``: a home that Dagster's own commands can work in."""

from dbmon_pipeline.core.settings import Settings
from dbmon_pipeline.faces.cli.options import HomeOption
from dbmon_pipeline.faces.cli.output import put


def prepare(home: HomeOption = None) -> None:
    """Give the home its Dagster configuration, and print the folder, for DAGSTER_HOME."""
    settings = Settings.load(home=home)
    from dbmon_pipeline.orchestration.instance import prepare as prepare_instance

    put(str(prepare_instance(settings.home)))
