"""Asset groups: the steps of the flow. The UI sorts them by name, hence the numbers."""

SOURCE = "1_source"
WAREHOUSE = "2_warehouse"
SUMMARIES = "3_summaries"
CHECKS = "4_checks"
PUBLISHED = "5_published"
REPORTS = "6_reports"

GROUPS = (SOURCE, WAREHOUSE, SUMMARIES, CHECKS, PUBLISHED, REPORTS)
