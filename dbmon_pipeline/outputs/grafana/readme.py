"""README beside the provisioning files, for the person who installs them."""

README = """\
# dbmon in Grafana

Made by `dbmon grafana export`; make them again when the rules change. Written for Grafana 13.

1. Install the plugin
   [motherduck-duckdb-datasource](https://github.com/motherduckdb/grafana-duckdb-datasource). It is
   unsigned: name it in `GF_PLUGINS_ALLOW_LOADING_UNSIGNED_PLUGINS`, in the environment of Grafana.
2. Say in the same environment where things are. The user of Grafana must be able to read the
   folder, and needs no more; its path has no single quote.

   ```bash
   DBMON_PUBLISHED=/var/lib/dbmon/published   # the folder `published` in the home
   DBMON_DAGSTER_URL=https://dagster.example.org
   DBMON_RUNBOOK_URL=https://git.example.org/dbmon/RUNBOOK.md
   ```

3. Copy `datasources`, `dashboards` and `alerting` to `/etc/grafana/provisioning` (or name another
   folder in `dashboards/dbmon.yaml`), and restart Grafana. Something must have been published by
   then (`dbmon refresh`).

Whom Grafana tells is up to its contact points; `alerting/contact-points.example.yaml` shows one.
Its alert rules repeat what the checks of the latest refresh said. `dbmon alerts` tells of the same:
choose one of the two. Grafana keeps an alert rule that is no longer in the file; it finds nothing
any more, and its identifier under `deleteRules` removes it.

Ranges begin on a full hour, where `dbmon query` answers 1h and 24h to the second. Times are UTC.
After an upgrade of dbmon run `dbmon refresh`, then put the new files in place and restart Grafana,
which keeps the tables and columns that it has found.
"""

CONTACT_POINTS = """\
# An example: take away the # at the beginning of each line below, name your own address in the
# environment of Grafana, and route to it in a notification policy.
apiVersion: 1
# contactPoints:
#   - orgId: 1
#     name: dbmon
#     receivers:
#       - uid: dbmon-webhook
#         type: webhook
#         settings:
#           url: $DBMON_WEBHOOK_URL
#           httpMethod: POST
#         disableResolveMessage: false
"""
