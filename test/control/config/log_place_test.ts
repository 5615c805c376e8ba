import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import { readAccessLog } from "../../../src/control/config/log_place.ts";

test("every kind of place", () => {
  const name = { kind: "name", name: "logs.example", port: 514 };
  const v4 = { kind: "ip", family: 4, ip: "10.0.0.1", scope: "", port: 514 };
  const v6 = { kind: "ip", family: 6, ip: "::1", scope: "", port: 1514 };
  const cases: [text: string, want: object][] = [
    ["off", { kind: "off" }],
    ["stderr", { kind: "stderr" }],
    ["stdout", { kind: "stdout" }],
    ["/var/log/a.log", { kind: "file", path: "/var/log/a.log" }],
    ["./syslog", { kind: "file", path: "./syslog" }],
    ["syslog2", { kind: "file", path: "syslog2" }],
    ["syslog.log", { kind: "file", path: "syslog.log" }],
    ["syslog", { kind: "syslog", transport: "unix", address: { kind: "unix", path: "/dev/log" } }],
    ["syslog:unix:/run/s", { kind: "syslog", transport: "unix", address: { kind: "unix", path: "/run/s" } }],
    ["syslog:udp://10.0.0.1:514", { kind: "syslog", transport: "udp", address: v4 }],
    ["syslog:udp://10.0.0.1", { kind: "syslog", transport: "udp", address: v4 }],
    ["syslog:tcp://logs.example", { kind: "syslog", transport: "tcp", address: name }],
    ["syslog:tcp://[::1]:1514", { kind: "syslog", transport: "tcp", address: v6 }],
    ["syslog:tcp://[::1]", { kind: "syslog", transport: "tcp", address: { ...v6, port: 514 } }],
  ];
  for (const [text, want] of cases) {
    const reading = readAccessLog(text);
    if (!reading.ok) throw new Error(`${text}: ${reading.what}`);
    deepEqual(reading.value, "transport" in want ? { ...want, text } : want, text);
  }
});

test("what is none is refused, with a way out", () => {
  const cases: [text: string, what: RegExp, remedy: RegExp][] = [
    ["", /^empty$/, /^write off, stderr, stdout, syslog or a PATH$/],
    [
      "sylog",
      /^"sylog" is neither off, stderr, stdout nor syslog$/,
      /^did you mean "syslog"\? .* is \.\/sylog$/,
    ],
    ["stdrr", /neither/, /^did you mean "stderr"/],
    ["a\nb", /control character/, /printable/],
    ["x".repeat(4_001), /^a path of 4001 characters$/, /at most 4000/],
    ["syslog:", /no place of a syslog/, /^write syslog, syslog:unix:\/PATH, syslog:udp:\/\/HOST:PORT or /],
    ["syslog:/dev/log", /no place of a syslog/, /syslog:unix:/],
    ["syslog:tls://h:6514", /no place of a syslog/, /syslog:tcp:/],
    ["syslog:unix:", /without a path/, /unix:\/PATH/],
    ["syslog:udp://", /has no port/, /write/],
    ["syslog:udp://h:0", /out of range/, /1 to 65535/],
    ["syslog:udp://h:514/x", /is no port/, /1 to 65535/],
    ["syslog:tcp://:514", /has no host/, /write/],
    ["syslog:tcp://::1", /without a port|too many colons|without brackets/, /write/],
  ];
  for (const [text, what, remedy] of cases) {
    const reading = readAccessLog(text);
    equal(reading.ok, false, text.slice(0, 40));
    if (reading.ok) continue;
    match(reading.what, what);
    match(reading.remedy, remedy);
  }
});
