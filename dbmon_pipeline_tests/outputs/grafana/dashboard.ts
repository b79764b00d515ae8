import * as raw from "./node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen";
import * as barchart from "./node_modules/@grafana/schema/dist/types/raw/composable/barchart/panelcfg/x/types.gen";
import * as gauge from "./node_modules/@grafana/schema/dist/types/raw/composable/gauge/panelcfg/x/types.gen";
import * as piechart from "./node_modules/@grafana/schema/dist/types/raw/composable/piechart/panelcfg/x/types.gen";
import * as stat from "./node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen";
import * as statetimeline from "./node_modules/@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/types.gen";
import * as table from "./node_modules/@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen";
import * as timeseries from "./node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen";

// What the plugin is given: a query that only the plugin knows.
interface Target {
  refId: string;
  datasource: { type: string; uid: string };
  editorMode: "code";
  rawQuery: true;
  rawSql: string;
  format: 0 | 1;
  fillMode?: { mode: 0 | 1 | 2; value?: number };
}

type Panel<Type, Options, Custom> = Omit<raw.Panel, "type" | "options" | "fieldConfig" | "targets"> & {
  type: Type;
  options?: Partial<Options>;
  fieldConfig?: Omit<raw.FieldConfigSource, "defaults"> & {
    defaults: Omit<raw.FieldConfig, "custom"> & { custom?: Partial<Custom> };
  };
  targets: Target[];
};

type AnyPanel =
  | Panel<"barchart", barchart.Options, barchart.FieldConfig>
  | Panel<"gauge", gauge.Options, never>
  | Panel<"piechart", piechart.Options, piechart.FieldConfig>
  | Panel<"stat", stat.Options, never>
  | Panel<"state-timeline", statetimeline.Options, statetimeline.FieldConfig>
  | Panel<"table", table.Options, table.FieldConfig>
  | Panel<"timeseries", timeseries.Options, timeseries.FieldConfig>;

export type Dashboard = Omit<raw.Dashboard, "snapshot" | "annotations" | "panels"> & {
  annotations: { list: (Omit<raw.AnnotationQuery, "target"> & { target: Target })[] };
  panels: AnyPanel[];
};
