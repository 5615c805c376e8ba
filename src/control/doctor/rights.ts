// What this user may do: bind privileged ports, open the admin socket.
import { dirname } from "node:path";
import { type Admin } from "../config/schema.ts";
import { shown } from "../config/errors.ts";
import type { Check } from "./check.ts";
import { bindsOf, type Load } from "./load.ts";
import { CAP_NET_BIND_SERVICE, hasCapability, type Machine, sysctl } from "./machine.ts";

export function rightChecks(machine: Machine, { config, given }: Load): Check[] {
  return [privilegedPorts(machine, config, given), adminSocket(machine, config.admin)];
}

function privilegedPorts(machine: Machine, config: Load["config"], given: boolean): Check {
  const from = sysctl(machine, "net.ipv4.ip_unprivileged_port_start")?.[0] ?? 1_024;
  const may = hasCapability(machine, CAP_NET_BIND_SERVICE) ?? machine.uid === 0;
  const who = machine.uid === 0 ? "root" : `user ${machine.uid}`;
  const own = given
    ? bindsOf(config).flatMap((address) => address.kind === "unix" ? [] : [address.port])
    : [];
  const needed = [...new Set(own)].filter((port) => port > 0 && port < from).sort((one, other) =>
    one - other
  );
  const lacking = !may && needed.length > 0;
  return {
    name: "privileged ports",
    found: `${who}, ${may ? "with" : "without"} CAP_NET_BIND_SERVICE; ports below ${from} take it`,
    verdict: lacking ? "fail" : "ok",
    limits: needed.length > 0
      ? `the file listens on ${needed.join(", ")}`
      : may
      ? "listeners may be on any port"
      : `listeners may be on ports from ${from}`,
    change: [
      { when: "systemd", command: "AmbientCapabilities=CAP_NET_BIND_SERVICE    # under [Service]" },
      { when: "for good", command: `setcap cap_net_bind_service=+ep ${machine.program}` },
      { when: "now", command: `sysctl -w net.ipv4.ip_unprivileged_port_start=${needed[0] ?? 80}` },
    ],
  };
}

function adminSocket(machine: Machine, admin: Admin): Check {
  const name = "admin API";
  if (admin.kind === "off") {
    const found = admin.byDefault ? "no place for its socket: XDG_RUNTIME_DIR is not set" : "off";
    return {
      name,
      found,
      verdict: admin.byDefault ? "note" : "ok",
      limits: "without it there are no metrics and no status",
      change: [{ when: "instead", command: "--admin http://127.0.0.1:9900, or admin: in the file" }],
    };
  }
  if (admin.kind === "http") {
    const limits = "metrics, status and health of Sluice itself";
    return { name, found: "on a TCP port; sluice check tries it", verdict: "ok", limits, change: [] };
  }
  const { path } = admin.address, directory = dirname(path), may = machine.mayCreateIn(directory);
  return {
    name,
    found: `unix:${shown(path)}: ` +
      (may === undefined
        ? "its directory does not exist"
        : may
        ? "may be made here"
        : "this user may not write to its directory"),
    verdict: may ? "ok" : admin.byDefault ? "warn" : "fail",
    limits: may
      ? "metrics, status and health of Sluice itself"
      : "without it there are no metrics and no status",
    change: [
      {
        when: "systemd",
        command: "RuntimeDirectory=sluice, and admin: unix:/run/sluice/sluice.sock in the file",
      },
      { when: "instead", command: "--admin http://127.0.0.1:9900, or admin: in the file" },
    ],
  };
}
