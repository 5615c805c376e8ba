// What can be asked of servers, as data: the verb's help is made of it as well as what reads a question.

/** Servers of an answer. More are cut off, which is told. */
export const SERVERS_SHOWN_MAX = 10_000;

/** What the checks say of a server. */
export const HEALTH = ["up", "down", "unchecked"] as const;

/** What keeps new connections from a server, or gives it another share of them, whatever its health. */
export const STATES = ["drained", "disabled", "reweighted", "avoided", "slow-start", "full"] as const;

/** What servers can be sorted by, and whether the largest comes first unless it is said. */
export const SERVER_COLUMNS: Readonly<Record<string, boolean>> = {
  upstream: false,
  server: false,
  health: false,
  since: true,
  now: true,
  total: true,
  failed: true,
  requests: true,
  up: true,
  down: true,
  bytes: true,
};

export const SERVER_PARAMETERS: readonly string[] = [
  "upstream",
  "server",
  "health",
  "state",
  "sort",
  "limit",
];
