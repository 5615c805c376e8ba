import { equal, match } from "node:assert/strict";
import { test } from "node:test";
import { rightChecks } from "../../../src/control/doctor/rights.ts";
import { type Changes, checkOf, commandsOf, loadOn, machineWith } from "./machine_fixture.ts";

function look(name: string, changes: Changes, file: string, given = true) {
  const machine = machineWith(changes);
  const text = `${file}upstreams: { u: { servers: 10.0.0.1:9 } }\n`;
  return checkOf(rightChecks(machine, loadOn(machine, text, given)), name);
}

const PORTS = "privileged ports", ADMIN = "admin API";
const on = (port: number) => `listeners: { a: { bind: "tcp://:${port}", to: u } }\n`;
const admin = (where: string) => `admin: "${where}"\n${on(5_432)}`;

test("privileged ports: root, a capability, a lower floor, or a failure", () => {
  const status = (caps: string) => ({ files: { "/proc/self/status": `CapEff:\t${caps}` } });
  const cases: [changes: Changes, port: number, verdict: string][] = [
    [{}, 5_432, "ok"],
    [{}, 80, "fail"],
    [{}, 0, "ok"],
    [status("0000000000000400"), 80, "ok"],
    [{ uid: 0, files: { "/proc/self/status": undefined } }, 80, "ok"],
    [{ uid: 0, ...status("0000000000000000") }, 80, "fail"],
    [{ files: { "/proc/sys/net/ipv4/ip_unprivileged_port_start": "80" } }, 80, "ok"],
    [{ files: { "/proc/sys/net/ipv4/ip_unprivileged_port_start": "81" } }, 80, "fail"],
  ];
  for (const [changes, port, verdict] of cases) equal(look(PORTS, changes, on(port)).verdict, verdict);
  equal(look(PORTS, {}, on(80), false).verdict, "ok", "nobody gave a file");
  const lacking = look(PORTS, {}, on(80));
  match(lacking.limits, /^the file listens on 80$/);
  match(commandsOf(lacking), /setcap cap_net_bind_service=\+ep \/usr\/local\/bin\/sluice\n/);
  match(commandsOf(lacking), /ip_unprivileged_port_start=80$/);
});

test("admin API: its directory, asked for or by default", () => {
  const cases: [may: boolean | undefined, file: string, verdict: string, found: RegExp][] = [
    [true, on(5_432), "ok", /^unix:\/run\/user\/999\/sluice\.sock: may be made here$/],
    [false, on(5_432), "warn", /may not write to its directory$/],
    [undefined, on(5_432), "warn", /its directory does not exist$/],
    [false, admin("unix:/run/s.sock"), "fail", /^unix:\/run\/s\.sock: this user may not/],
    [false, admin("http://127.0.0.1:9900"), "ok", /TCP port/],
    [false, admin("off"), "ok", /^off$/],
  ];
  for (const [may, file, verdict, found] of cases) {
    const check = look(ADMIN, { mayCreateIn: () => may }, file);
    equal(check.verdict, verdict, file);
    match(check.found, found);
  }
});

test("admin API: the directory that is looked at is that of the socket", () => {
  const seen: string[] = [];
  look(ADMIN, { mayCreateIn: (directory) => seen.push(directory) > 0 }, admin("unix:/run/sluice/a.sock"));
  equal(seen.join(), "/run/sluice");
});
