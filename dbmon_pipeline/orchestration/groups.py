"""Asset groups: the steps of the flow. The UI sorts them by name, hence the numbers."""

SOURCE = "1_source"
LEDGER = "2_ledger"
SUMMARIES = "3_summaries"
CHECKS = "4_checks"
PUBLISHED = "5_published"
REPORTS = "6_reports"

GROUPS = (SOURCE, LEDGER, SUMMARIES, CHECKS, PUBLISHED, REPORTS)
