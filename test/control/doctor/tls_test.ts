import { deepEqual, equal, match } from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { after, test } from "node:test";
import { tlsChecks } from "../../../src/control/doctor/tls.ts";
import { ENOENT, EPERM } from "../../../src/sys/errno.ts";
import { Certificates } from "../../support/certificates.ts";
import { type Changes, checkOf, commandsOf, configOf, loadOn, machineWith } from "./machine_fixture.ts";
import { loadOf } from "../../../src/control/doctor/load.ts";
import type { Config } from "../../../src/control/config/schema.ts";

const DAY_MS = 86_400_000;
const BUNDLE = "/etc/ssl/certs/ca-certificates.crt";
const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());

const HTTP =
  'listeners: { web: { bind: "http://:80", to: app } }\nupstreams: { app: { servers: "https://10.0.0.1" } }\n';
const OFF = HTTP.replace('"https://10.0.0.1"', '"https://10.0.0.1", tls: { verify: off }');

/** Of a file that names no other, as far as it could be read. */
function names(config: string, changes: Changes = {}): string {
  const machine = machineWith(changes);
  return tlsChecks(machine, loadOn(machine, config)).map(({ name }) => name).join();
}

test("what a file does not use is not looked at; without one the machine is", () => {
  const machine = machineWith(), none = loadOn(machine, undefined, false);
  deepEqual(tlsChecks(machine, none).map(({ name, verdict }) => [name, verdict]), [["authorities", "ok"], [
    "kTLS",
    "ok",
  ]]);
  equal(tlsChecks(machine, loadOn(machine)).length, 0, "plain TCP");
  equal(names(HTTP), "authorities,kTLS");
  equal(names(OFF), "kTLS", "nobody is verified");
});

test("authorities: found and counted, or not", () => {
  const look = (changes: Changes, given = true) => {
    const machine = machineWith(changes);
    return checkOf(tlsChecks(machine, loadOn(machine, given ? HTTP : undefined, given)), "authorities");
  };
  match(look({}).found, /^140 certificates of authorities in \/etc\/ssl\/certs\/ca-certificates\.crt$/);
  const redHat = "/etc/pki/tls/certs/ca-bundle.crt";
  const moved = look({ files: { [BUNDLE]: undefined, [redHat]: "-----BEGIN CERTIFICATE-----" } });
  deepEqual([moved.found, moved.verdict], [`1 certificate of authorities in ${redHat}`, "ok"]);
  const none = look({ files: { [BUNDLE]: undefined } });
  equal(none.verdict, "fail");
  match(none.limits, /^without them Sluice does not start: upstream app /);
  match(commandsOf(none), /^for good: apt-get install ca-certificates/);
  equal(look({ files: { [BUNDLE]: undefined } }, false).verdict, "note", "nobody asked for them");
  const named = look({ env: { SSL_CERT_FILE: "/nowhere.pem" } });
  deepEqual([named.verdict, named.found], [
    "fail",
    "/nowhere.pem, which SSL_CERT_FILE names, cannot be read here",
  ]);
  const empty = look({ files: { [BUNDLE]: "" } });
  deepEqual([empty.verdict, empty.found], ["fail", `0 certificates of authorities in ${BUNDLE}`]);
});

test("kTLS: there, to be loaded, or not to be had", () => {
  const look = (result: number | undefined) => {
    const machine = machineWith({ fact: () => result });
    return checkOf(tlsChecks(machine, loadOn(machine, OFF)), "kTLS");
  };
  equal(look(1).verdict, "ok");
  const missing = look(-ENOENT);
  deepEqual([missing.verdict, missing.found], ["note", "the kernel's module tls is not there"]);
  match(missing.limits, /never spliced/);
  match(commandsOf(missing), /^now: modprobe tls\nfor good: echo tls > /);
  deepEqual([look(-EPERM).found, look(undefined).found], ["does not work: EPERM", "not known: see library"]);
});

test("certificates: the first to end, those that end soon, those that have ended", () => {
  const until = (name: string, days: number) =>
    certificates.make({
      names: [name],
      from: new Date(Date.now() - 100 * DAY_MS),
      until: new Date(Date.now() + days * DAY_MS + 3_600_000),
    });
  const far = certificates.leaf("far.example", "www.far.example"), near = until("near.example", 5);
  const gone = until("gone.example", -2);
  const look = (...made: { cert: string; key: string }[]) => {
    const files = Object.fromEntries(
      made.filter(({ cert }) => existsSync(cert)).map(({ cert }) => [cert, readFileSync(cert, "utf8")]),
    );
    const machine = machineWith({ files, wallMs: Date.now });
    const plain = configOf(
      'listeners: { web: { bind: "http://:80", to: app } }\nupstreams: { app: { servers: "10.0.0.1:80" } }\n',
    );
    const tls = { certificates: made, policy: "modern", client: { mode: "off" } };
    const config = { ...plain, listeners: { web: { ...plain.listeners.web, tls } } } as unknown as Config;
    return checkOf(tlsChecks(machine, loadOf(config, true, machine)), "certificates of the file");
  };
  const well = look(far, far);
  equal(well.verdict, "ok");
  match(
    well.found,
    /^1 certificate; the first to end: \S+ \(far\.example, www\.far\.example\) ends in 36[45] days, on /,
  );
  const soon = look(far, near);
  equal(soon.verdict, "warn");
  match(soon.found, /^2 certificates: \S+ \(near\.example\) ends in 5 days, on [^;]*$/);
  match(commandsOf(soon), new RegExp(`^now: openssl x509 .* -in ${near.cert} `));
  const ended = look(far, near, gone);
  equal(ended.verdict, "fail");
  match(
    ended.found,
    /^3 certificates: \S+ \(gone\.example\) ended (47 hours|2 days|[0-9]+ hours) ago, on .*; \S+ \(near\.example\) ends in 5 days/,
  );
  equal(look({ cert: "/nowhere.pem", key: "/nowhere.pem" }).verdict, "warn");
});
