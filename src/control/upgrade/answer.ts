// What POST /upgrade answers, and who answers it.

/** What became of it. */
export interface UpgradeAnswer {
  readonly upgraded: boolean;
  /** Of the new process. */
  readonly pid: number | null;
  readonly version: string | null;
  /** Sessions of datagrams that go on in it, and those that do not. */
  readonly sessions: number;
  readonly sessions_lost: number;
  readonly took_ms: number;
  /** Why not, and what else the new process said about it. */
  readonly why: string | null;
  readonly lines: readonly string[];
}

/** What the admin API knows of upgrades. */
export interface Upgrades {
  /** Those that led to this process. */
  readonly count: number;
  /** The version that this process follows; undefined: it follows none. */
  readonly fromVersion: string | undefined;
  /** Nothing may be changed meanwhile. */
  readonly underWay: boolean;
  upgrade(path: string | undefined): Promise<UpgradeAnswer>;
}
