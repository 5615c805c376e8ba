// What is asked about connections, as an admin API's query and a verb's flags write it: which ones, in which order,
// how many, or all of them counted by something. One reader for both, so they cannot differ.
import { NONE } from "../../base/limits.ts";
import { type Cidr, readCidr } from "../config/cidr.ts";
import { type ConfigProblem, quoted, type Reading, refused, taken } from "../config/errors.ts";
import { type Range, readCount, readDuration } from "../config/units.ts";
import type { Directory } from "../directory.ts";
import { type Given, type NameOf, noSuch, Parameters, readWord } from "../parameters.ts";
import {
  COLUMNS,
  GROUP_COLUMNS,
  type Grouping,
  GROUPINGS,
  PARAMETERS,
  RATE_COLUMNS,
  ROWS_SHOWN,
  ROWS_SHOWN_MAX,
} from "./columns.ts";
import { DOINGS } from "./row.ts";

const ROWS: Range = { min: 1, max: ROWS_SHOWN_MAX };
const AGE_MS: Range = { min: 0, max: 366 * 86_400_000 };

/** Some clients: a prefix, or one of its ports alone. */
export interface Client {
  readonly cidr: Cidr;
  /** 0: any. */
  readonly port: number;
}

/** Every filter is empty, which lets everything through, or lets through what is one of its values. */
export interface Query {
  readonly listeners: ReadonlySet<number>;
  readonly upstreams: ReadonlySet<number>;
  readonly servers: ReadonlySet<number>;
  readonly clients: readonly Client[];
  /** Doings. */
  readonly states: ReadonlySet<number>;
  readonly minAgeMs: number;
  readonly by: Grouping | undefined;
  readonly sort: string;
  readonly descending: boolean;
  readonly limit: number;
  /** Whether rates are asked for. They take a moment. */
  readonly rates: boolean;
}

/**
 * Reads a query.
 * @param nameOf how a parameter is named to whom it is told
 * @param directory what there is; undefined: names are taken as they are, since only the running process knows
 */
export function readQuery(
  given: Iterable<Given>,
  directory: Directory | undefined,
  nameOf: NameOf = (parameter) => parameter,
): Query | { problems: ConfigProblem[] } {
  const parameters = new Parameters(given, PARAMETERS, nameOf), { problems } = parameters;
  const by = parameters.one("by", (text) => readWord(text, GROUPINGS, "grouping"));
  const [sort, descending] = parameters.sort(by === undefined ? COLUMNS : GROUP_COLUMNS) ??
    (by === undefined ? ["age", true] as const : ["connections", true] as const);
  const rates = parameters.one("rates", (text) => readWord(text, ["on", "off"], "switch")) === "on";
  if (!rates && RATE_COLUMNS.includes(sort)) {
    parameters.error("sort", `${sort} needs rates`, `set ${nameOf("rates")} on, or sort by something else`);
  }
  const query: Query = {
    listeners: new Set(
      parameters.all("listener", (text) => numbersOf(text, "listener", directory?.listeners)).flat(),
    ),
    upstreams: new Set(
      parameters.all("upstream", (text) => numbersOf(text, "upstream", directory?.upstreams)).flat(),
    ),
    servers: new Set(parameters.all("server", (text) => serversOf(text, directory)).flat()),
    clients: parameters.all("client", readClient),
    states: new Set(parameters.all("state", readState)),
    minAgeMs: parameters.one("min-age", (text) => readDuration(text, AGE_MS)) ?? 0,
    by,
    sort,
    descending,
    limit: parameters.one("limit", (text) => readCount(text, ROWS)) ?? ROWS_SHOWN,
    rates,
  };
  return problems.length > 0 ? { problems } : query;
}

function readState(text: string): Reading<number> {
  const names = DOINGS.map(([name]) => name), reading = readWord(text, names, "state");
  return reading.ok ? taken(names.indexOf(text)) : reading;
}

/** `10.1.2.3`, `10.0.0.0/8`, `unix`, and with a port as a record has it: `10.1.2.3:40000`, `[::1]:40000`. */
export function readClient(text: string): Reading<Client> {
  const ported = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(text);
  const port = Number(ported?.[3] ?? 0);
  if (ported !== null && (port < 1 || port > 65_535)) {
    return refused(`${quoted(text)} has no port from 1 to 65535`, "write a client such as 10.1.2.3:40000");
  }
  const cidr = readCidr(ported?.[1] ?? ported?.[2] ?? text);
  return cidr.ok ? taken({ cidr: cidr.value, port }) : cidr;
}

/** Numbers of a name, those included that are gone but still have connections. */
function numbersOf(
  name: string,
  what: string,
  entries: ReadonlyMap<number, { readonly number: number; readonly name: string }> | undefined,
): Reading<number[]> {
  if (entries === undefined) return taken([NONE]);
  const numbers = [...entries.values()].filter((entry) => entry.name === name).map(({ number }) => number);
  if (numbers.length > 0) return taken(numbers);
  return noSuch(what, name, [...entries.values()].map(({ name }) => name));
}

/** Servers by address, as configured, or with their upstream before them: `app/10.0.0.1:80`. */
function serversOf(text: string, directory: Directory | undefined): Reading<number[]> {
  if (directory === undefined) return taken([NONE]);
  const entries = [...directory.servers.values()];
  const numbers = entries.filter(({ address, target, upstream }) =>
    address === text || target === text || `${upstream}/${address}` === text
  ).map(({ number }) => number);
  if (numbers.length > 0) return taken(numbers);
  return noSuch("server", text, entries.map(({ address }) => address));
}
