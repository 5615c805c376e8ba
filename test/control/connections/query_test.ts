import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { GROUPINGS, PARAMETERS } from "../../../src/control/connections/columns.ts";
import { type Query, readQuery } from "../../../src/control/connections/query.ts";
import { formatProblem } from "../../../src/control/config/errors.ts";
import { LISTENER, makeFixture, SERVERS, UPSTREAM } from "../sight_fixture.ts";

const { directory } = makeFixture().sight;

function read(text: string): Query {
  const query = readQuery(new URLSearchParams(text), directory);
  if ("problems" in query) throw new Error(query.problems.map(formatProblem).join("; "));
  return query;
}

test("without parameters the oldest hundred are asked for, without rates", () => {
  const { sort, descending, limit, rates, by, minAgeMs } = read("");
  deepEqual([sort, descending, limit, rates, by, minAgeMs], ["age", true, 100, false, undefined, 0]);
});

test("every parameter is read", () => {
  const query = read(
    "listener=web&upstream=app&server=10.0.0.1:9001&server=app2:9001&client=10.0.0.0/8&client=[::1]:80" +
      "&state=open&state=idle&min-age=1m30s&sort=rate&limit=5&rates=on",
  );
  deepEqual([...query.listeners], [LISTENER]);
  deepEqual([...query.upstreams], [UPSTREAM]);
  deepEqual([...query.servers], [SERVERS[0], SERVERS[1]], "by address, and as it is configured");
  deepEqual(query.clients.map(({ cidr, port }) => [cidr.text, port]), [["10.0.0.0/8", 0], ["::1/128", 80]]);
  equal(query.states.size, 2);
  deepEqual([query.minAgeMs, query.sort, query.descending, query.limit, query.rates], [
    90_000,
    "rate",
    true,
    5,
    true,
  ]);
  deepEqual([...read("server=app/10.0.0.3:9001").servers], [SERVERS[2]], "with its upstream before it");
});

test("text is sorted upwards, numbers downwards, unless it is said", () => {
  const cases: [text: string, sort: string, descending: boolean][] = [
    ["sort=client", "client", false],
    ["sort=client:desc", "client", true],
    ["sort=bytes", "bytes", true],
    ["sort=bytes:asc", "bytes", false],
    ["by=source", "connections", true],
    ["by=source&sort=name", "name", false],
  ];
  for (const [text, sort, descending] of cases) {
    const query = read(text);
    deepEqual([query.sort, query.descending], [sort, descending], text);
  }
  for (const by of GROUPINGS) equal(read(`by=${by}`).by, by);
});

test("what is wrong is told with what to write, all at once", () => {
  const cases: [text: string, problem: string][] = [
    ["nothing=1", `nothing: no such parameter; there are ${PARAMETERS.join(" ")}`],
    ["clients=1", 'clients: no such parameter; did you mean "client"?'],
    ["listener=wep", 'listener: no listener "wep"; did you mean "web"?'],
    ["upstream=zebra", 'upstream: no upstream "zebra"; there are app'],
    [
      "server=1.1.1.1:1",
      'server: no server "1.1.1.1:1"; there are 10.0.0.1:9001, 10.0.0.2:9001, 10.0.0.3:9001',
    ],
    ["state=opn", 'state: no state "opn"; did you mean "open"?'],
    ["client=10.1.2.3/8", "client: 10.1.2.3/8 has bits behind its prefix; write 10.0.0.0/8 or 10.1.2.3"],
    [
      "client=10.1.2.3:0",
      'client: "10.1.2.3:0" has no port from 1 to 65535; write a client such as 10.1.2.3:40000',
    ],
    ["min-age=5", 'min-age: "5" has no unit; write 5s or 5ms'],
    [
      "sort=colour",
      'sort: no column "colour"; there are client, listener, upstream, server, state, age, idle, up, down, bytes, up-rate, down-rate, rate, requests',
    ],
    ["sort=age:up", 'sort: no order "up"; write age:asc or age:desc'],
    ["sort=rate", "sort: rate needs rates; set rates on, or sort by something else"],
    ["sort=age&sort=up", "sort: given twice; leave one of them out"],
    [
      "by=source&sort=age",
      'sort: no column "age"; there are name, connections, up, down, bytes, up-rate, down-rate, rate',
    ],
    ["by=colour", 'by: no grouping "colour"; there are source, listener, upstream, server, state'],
    ["limit=0", 'limit: "0" is too small; write a value from 1 to 10000'],
    ["limit=10001", 'limit: "10001" is too large; write a value from 1 to 10000'],
    ["limit=x", 'limit: "x" is no whole number; write a number from 1 to 10000'],
    ["rates=maybe", 'rates: no switch "maybe"; there are on, off'],
  ];
  for (const [text, problem] of cases) {
    const query = readQuery(new URLSearchParams(text), directory);
    const told = "problems" in query
      ? query.problems.map(({ where, what, remedy }) => `${where}: ${what}; ${remedy}`)
      : [];
    deepEqual(told, [problem], text);
  }
  const both = readQuery(new URLSearchParams("state=x&limit=0"), directory, (name) => `--${name}`);
  deepEqual("problems" in both && both.problems.map(({ where }) => where), ["--state", "--limit"]);
  const many = readQuery(new URLSearchParams("client=10.0.0.1&".repeat(65)), directory);
  equal("problems" in many && many.problems[0].what, "more than 64 values");
});

test("without a directory any name is taken: only the running process knows them", () => {
  const query = readQuery([["listener", "anything"], ["server", "x:1"]], undefined);
  equal("problems" in query, false);
});
