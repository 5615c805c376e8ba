import { equal, match } from "node:assert/strict";
import { test } from "node:test";
import { socketChecks } from "../../../src/control/doctor/sockets.ts";
import { checkOf, commandsOf, type Files, loadOn, machineWith } from "./machine_fixture.ts";

function look(name: string, files: Files = {}, file?: string, given = true) {
  const machine = machineWith({ files });
  return checkOf(socketChecks(machine, loadOn(machine, file, given)), name);
}

const QUEUE = "accept queue (somaxconn)", PORTS = "ports to servers", OWN = "ports of listeners";

test("a machine without faults: all is well, and no sysctl that is missing fails", () => {
  const machine = machineWith();
  for (const { name, verdict } of socketChecks(machine, loadOn(machine, undefined, false))) {
    equal(verdict, "ok", name);
  }
  const blind = machineWith({
    files: Object.fromEntries(
      ["core/somaxconn", "ipv4/tcp_syncookies", "ipv4/ip_local_port_range", "ipv4/tcp_tw_reuse"].map((
        key,
      ) => [`/proc/sys/net/${key}`, undefined]),
    ),
  });
  const verdicts = socketChecks(blind, loadOn(blind)).map(({ verdict }) => verdict);
  equal(verdicts.join(), "note,note,note,ok,note,ok");
});

test("somaxconn: short, as usual, and whether queues have run over", () => {
  const lost = "TcpExt: A ListenOverflows\nTcpExt: 1 77";
  const cases: [most: string, netstat: string, verdict: string, found: RegExp][] = [
    ["128", "", "warn", /^128$/],
    ["4096", "", "ok", /^4,096$/],
    ["4096", lost, "note", /77 connections found some queue full/],
    ["65535", lost, "ok", /77 connections/],
  ];
  for (const [most, netstat, verdict, found] of cases) {
    const check = look(QUEUE, { "/proc/sys/net/core/somaxconn": most, "/proc/net/netstat": netstat });
    equal(check.verdict, verdict, most);
    match(check.found, found);
  }
  const short = look(QUEUE, { "/proc/sys/net/core/somaxconn": "128" });
  match(short.limits, /^128 connections wait .* 12 ms of a rush of 10,000 a second/);
  match(
    commandsOf(short),
    /^now: sysctl -w net\.core\.somaxconn=65535\nfor good: echo 'net\.core\.somaxconn = 65535' >> /,
  );
});

test("half-open connections: cookies or none", () => {
  const cases: [cookies: string, backlog: string, verdict: string, command: RegExp][] = [
    ["1", "128", "ok", /^$/],
    ["2", "4096", "note", /tcp_syncookies=1/],
    ["0", "128", "warn", /tcp_syncookies=1[\s\S]*tcp_max_syn_backlog=8192/],
  ];
  for (const [cookies, backlog, verdict, command] of cases) {
    const check = look("half-open connections", {
      "/proc/sys/net/ipv4/tcp_syncookies": cookies,
      "/proc/sys/net/ipv4/tcp_max_syn_backlog": backlog,
    });
    equal(check.verdict, verdict, cookies);
    match(commandsOf(check), command);
  }
});

test("half-open connections: those that were dropped, without those that an accept queue dropped", () => {
  const cases: [overflows: number, drops: number, found: RegExp][] = [
    [5, 5, /tcp_syncookies 1$/],
    [5, 12, /; 7 connections dropped for want of room or memory since the machine started$/],
    [0, 1, /; 1 connection dropped/],
  ];
  for (const [overflows, drops, found] of cases) {
    const netstat = `TcpExt: A ListenOverflows ListenDrops\nTcpExt: 1 ${overflows} ${drops}`;
    const check = look("half-open connections", {
      "/proc/sys/net/ipv4/tcp_syncookies": "1",
      "/proc/net/netstat": netstat,
    });
    match(check.found, found);
  }
});

test("ports: the upstream with the fewest addresses against the connections there may be", () => {
  const file = (extra: string) =>
    `${extra}listeners: { a: { bind: "tcp://:9", to: one }, b: { bind: "tcp://:8", to: two } }
upstreams: { one: { servers: 10.0.0.1:9 }, two: { servers: [10.0.0.1:9, 10.0.0.2:9] } }
`;
  const byDefault = look(PORTS, {}, file(""));
  equal(byDefault.verdict, "note");
  match(byDefault.limits, /upstream "one" has 1 address, which carry 28,232 of 100,000$/);
  const asked = look(PORTS, {}, file("max-connections: 50000\n"));
  equal(asked.verdict, "warn");
  match(
    commandsOf(asked),
    /ip_local_port_range="1024 65535"[\s\S]*instead: more addresses under upstreams\.one\.servers/,
  );
  equal(look(PORTS, {}, file("max-connections: 20000\n")).verdict, "ok");
  equal(look(PORTS, {}, undefined, false).verdict, "ok");
  const few = look(PORTS, { "/proc/sys/net/ipv4/ip_local_port_range": "32768 40000" }, undefined, false);
  equal(few.verdict, "warn");
  const reserved = { "/proc/sys/net/ipv4/ip_local_reserved_ports": "80,40000-40009,50000" };
  match(look(PORTS, reserved).found, /: 28,221$/, "11 of them are not for connections");
  const unix =
    'listeners: { a: { bind: "tcp://:9", to: u } }\nupstreams: { u: { servers: "unix:/run/a" } }\n';
  equal(look(PORTS, {}, unix).verdict, "ok");
});

test("listeners among the ports for connections", () => {
  const file = (port: number) =>
    `listeners: { a: { bind: "tcp://:${port}", to: u } }\nupstreams: { u: { servers: 10.0.0.1:9 } }\n`;
  const among = look(OWN, { "/proc/sys/net/ipv4/ip_local_reserved_ports": "8080,9000-9010" }, file(40_000));
  equal(among.verdict, "warn");
  match(commandsOf(among), /sysctl -w net\.ipv4\.ip_local_reserved_ports=8080,9000-9010,40000$/m);
  equal(
    look(OWN, { "/proc/sys/net/ipv4/ip_local_reserved_ports": "39000-41000" }, file(40_000)).verdict,
    "ok",
  );
  equal(look(OWN, {}, file(5_432)).verdict, "ok");
});

test("TIME-WAIT: what it costs, in connections a second", () => {
  const files = (reuse: string, stamps: string) => ({
    "/proc/sys/net/ipv4/tcp_tw_reuse": reuse,
    "/proc/sys/net/ipv4/tcp_timestamps": stamps,
  });
  const cases: [reuse: string, stamps: string, verdict: string, command: RegExp][] = [
    ["1", "1", "ok", /^$/],
    ["2", "1", "note", /tcp_tw_reuse=1/],
    ["0", "0", "note", /tcp_tw_reuse=1[\s\S]*tcp_timestamps=1/],
    ["1", "0", "warn", /^now: sysctl -w net\.ipv4\.tcp_timestamps=1/],
  ];
  for (const [reuse, stamps, verdict, command] of cases) {
    const check = look("ports in TIME-WAIT", files(reuse, stamps));
    equal(check.verdict, verdict, reuse);
    match(commandsOf(check), command);
  }
  match(look("ports in TIME-WAIT", files("2", "1")).limits, /at most 470 new ones a second/);
});

test("conntrack: not there, enough, too few, nearly full, full", () => {
  const files = (max: string, count: string) => ({
    "/proc/sys/net/netfilter/nf_conntrack_max": max,
    "/proc/sys/net/netfilter/nf_conntrack_count": count,
  });
  const cases: [files: Files, verdict: string, says: RegExp][] = [
    [{}, "ok", /^$/],
    [files("262144", "1000"), "ok", /^131,072 connections through Sluice/],
    [files("65536", "1000"), "note", /^32,768 connections/],
    [files("262144", "200000"), "warn", /131,072/],
    [files("65536", "65536"), "fail", /packets of new connections are dropped/],
  ];
  for (const [given, verdict, says] of cases) {
    const check = look("conntrack", given);
    equal(check.verdict, verdict, `${says}`);
    match(check.limits, says);
  }
  match(commandsOf(look("conntrack", files("65536", "0"))), /nf_conntrack_max=[0-9]{6}/);
});

test("fast open: only where it is asked for, by its side", () => {
  const file = (listener: string, upstream: string) =>
    `listeners: { a: { bind: "tcp://10.0.0.9:9", to: u, socket: { ${listener} } } }\n` +
    `upstreams: { u: { servers: 10.0.0.1:9, socket: { ${upstream} } } }\n`;
  const serves = file("fast-open: 16", ""), asks = file("", "fast-open: true");
  const files = { "/proc/sys/net/ipv4/tcp_fastopen": "1" };
  equal(look("TCP Fast Open", files, asks).verdict, "ok");
  const check = look("TCP Fast Open", files, serves);
  equal(check.verdict, "warn");
  match(commandsOf(check), /^now: sysctl -w net\.ipv4\.tcp_fastopen=3$/m);
  equal(look("TCP Fast Open", {}, serves).verdict, "note", "it cannot be read");
});
