import { deepEqual, match } from "node:assert/strict";
import { test } from "node:test";
import { serviceChecks } from "../../../src/control/doctor/service.ts";
import { type Changes, machineWith } from "./machine_fixture.ts";

test("service manager: told or not, its sockets, a container's first process", () => {
  const status = (pid: number) => ({
    files: { "/proc/self/status": `Pid:\t${pid}`, "/proc/1/comm": "systemd" },
  });
  const env = {
    NOTIFY_SOCKET: "/run/systemd/notify",
    WATCHDOG_USEC: "30000000",
    LISTEN_PID: "7",
    LISTEN_FDS: "2",
  };
  const cases: [changes: Changes, verdict: string, said: RegExp][] = [
    [
      status(1),
      "note",
      /^process 1 of a container the container ends with it, so there is no upgrade in place/,
    ],
    [status(7), "ok", /^none that is told \(NOTIFY_SOCKET\) a unit of systemd with Type=notify is told/],
    [
      { ...status(7), env },
      "ok",
      /^told at \/run\/systemd\/notify; its watchdog waits 30 s; 2 sockets by socket activation it knows when/,
    ],
    [{ ...status(8), env }, "ok", /; LISTEN_FDS is for process 7, not for this one it knows/],
    [{ files: { "/proc/1/comm": undefined } }, "ok", /process 1 is not to be seen$/],
  ];
  for (const [changes, verdict, said] of cases) {
    const [check, ...more] = serviceChecks(machineWith(changes));
    deepEqual([check.verdict, more], [verdict, []]);
    match(`${check.found} ${check.limits}`, said);
  }
});
