// Who started us and looks after us: a service manager that is told (systemd), or a container's runtime.
import { shown } from "../config/errors.ts";
import { activationText } from "../activation.ts";
import { watchdogMs } from "../service_manager.ts";
import type { Check } from "./check.ts";
import type { Machine } from "./machine.ts";

export function serviceChecks(machine: Machine): Check[] {
  const { env, read } = machine,
    pid = Number(/^Pid:\s*(\d+)$/m.exec(read("/proc/self/status") ?? "")?.[1] ?? NaN);
  const first = read("/proc/1/comm") ?? "";
  if (pid === 1) {
    return [{
      name: "service manager",
      found: "process 1 of a container",
      verdict: "note",
      limits: "the container ends with it, so there is no upgrade in place: a new container takes over",
      change: [],
    }];
  }
  const socket = env.NOTIFY_SOCKET ?? "", watchdog = watchdogMs(env, pid), sockets = activationText(env, pid);
  const parts = [
    socket === "" ? "none that is told (NOTIFY_SOCKET)" : `told at ${shown(socket)}`,
    ...(watchdog > 0 ? [`its watchdog waits ${watchdog / 1_000} s`] : []),
    ...(sockets === undefined ? [] : [sockets]),
  ];
  const isSystemd = first === "systemd";
  return [{
    name: "service manager",
    found: parts.join("; "),
    verdict: "ok",
    limits: socket !== ""
      ? "it knows when Sluice is ready, and that it is alive"
      : isSystemd
      ? "a unit of systemd with Type=notify is told: examples/systemd/sluice.service"
      : `process 1 is ${first === "" ? "not to be seen" : shown(first)}`,
    change: [],
  }];
}
