// What can be asked of connections, as data: the verb's help and completion are made of it as well as what reads a
// question.

/** Rows of an answer. More are cut off, which is told. */
export const ROWS_SHOWN_MAX = 10_000;
export const ROWS_SHOWN = 100;

/** What rows can be sorted by, and whether the largest comes first unless it is said. */
export const COLUMNS = {
  client: false,
  listener: false,
  upstream: false,
  server: false,
  state: false,
  age: true,
  idle: true,
  up: true,
  down: true,
  bytes: true,
  "up-rate": true,
  "down-rate": true,
  rate: true,
  requests: true,
} as const satisfies Record<string, boolean>;
export type Column = keyof typeof COLUMNS;
export const RATE_COLUMNS: readonly string[] = ["up-rate", "down-rate", "rate"];

/** What connections can be counted by, and what the counts can be sorted by. */
export const GROUPINGS = ["source", "listener", "upstream", "server", "state"] as const;
export type Grouping = typeof GROUPINGS[number];
export const GROUP_COLUMNS = {
  name: false,
  connections: true,
  up: true,
  down: true,
  bytes: true,
  "up-rate": true,
  "down-rate": true,
  rate: true,
} as const satisfies Record<string, boolean>;
export type GroupColumn = keyof typeof GROUP_COLUMNS;

/** What connections can be told from others by. */
export const FILTERS: readonly string[] = ["listener", "upstream", "server", "client", "state", "min-age"];

/** The parameters, as the API has them; a verb's flags are the same with dashes before them. */
export const PARAMETERS: readonly string[] = [
  ...FILTERS,
  "by",
  "sort",
  "limit",
  "rates",
];
