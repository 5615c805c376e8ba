// File descriptors and pipes.
import { PIPE_BYTES } from "../../base/limits.ts";
import { MachineFact } from "../../sys/symbols.ts";
import { fdsFor } from "../capacity.ts";
import { type Check, grouped, roundedSize, sysctlChange, unseen } from "./check.ts";
import type { Load } from "./load.ts";
import { CAP_SYS_ADMIN, CAP_SYS_RESOURCE, hasCapability, limitOf, type Machine, sysctl } from "./machine.ts";

export function descriptorChecks(machine: Machine, load: Load): Check[] {
  return [nofile(machine, load), fileMax(machine, load), pipes(machine, load)];
}

/** Fds for all connections that are asked for, in whole thousands. */
function fdsNeeded({ asked, reactors, sockets, servers }: Load): number {
  return Math.ceil(fdsFor({ connections: asked, reactors, listeners: sockets, servers }) / 1_024) * 1_024;
}

function nofile(machine: Machine, load: Load): Check {
  const name = "open files (nofile)", limit = limitOf(machine, "Max open files");
  const { fds, capacity, asked, byDefault } = load;
  if (limit === undefined || fds === undefined) {
    return unseen(name, "/proc/self/limits", "how many connections there can be: two for each");
  }
  const text = (count: number) => count === Infinity ? "unlimited" : grouped(count);
  const found = limit.soft === limit.hard
    ? text(limit.hard)
    : `${text(limit.hard)} (the hard limit, which Sluice raises its own ${text(limit.soft)} to)`;
  const needed = fdsNeeded(load), most = sysctl(machine, "fs.nr_open")?.[0];
  const change = [
    {
      when: "now",
      command: `ulimit -Hn ${needed}; ulimit -n ${needed}    # as root, in the shell that starts it`,
    },
    {
      when: "for good",
      command:
        `printf '* - nofile ${needed}\\nroot - nofile ${needed}\\n' > /etc/security/limits.d/sluice.conf`,
    },
    { when: "systemd", command: `LimitNOFILE=${needed}    # under [Service], by systemctl edit sluice` },
    ...(most !== undefined && most < needed ? sysctlChange("fs.nr_open", needed) : []),
  ] as const;
  const all = capacity.connections >= asked;
  const carried = `${grouped(fds)} fds carry ${
    grouped(Math.max(0, capacity.connections))
  } connections at once`;
  return {
    name,
    found,
    verdict: capacity.connections < 1 ? "fail" : all ? "ok" : byDefault ? "note" : "warn",
    limits: all
      ? `${carried}, all that max-connections asks for`
      : `${carried} of the ${grouped(asked)} that max-connections is${byDefault ? " by default" : ""}`,
    change: all ? [] : change,
  };
}

function fileMax(machine: Machine, load: Load): Check {
  const name = "open files, system-wide", most = sysctl(machine, "fs.file-max")?.[0];
  if (most === undefined) return unseen(name, "fs.file-max", "accepting and connecting for everybody");
  const used = sysctl(machine, "fs.file-nr")?.[0] ?? 0;
  const needed = 2 * Math.max(0, load.capacity.connections);
  const left = most - used;
  return {
    name,
    found: `${grouped(used)} of ${grouped(most)} in use`,
    verdict: left < 1_024 ? "fail" : left < needed ? "warn" : "ok",
    limits: `what is left carries ${grouped(Math.max(0, left) / 2)} connections`,
    change: left < needed ? sysctlChange("fs.file-max", used + 2 * needed) : [],
  };
}

function pipes(machine: Machine, { reactors, capacity }: Load): Check {
  const name = "pipes for bulk streams";
  const most = sysctl(machine, "fs.pipe-max-size")?.[0],
    soft = sysctl(machine, "fs.pipe-user-pages-soft")?.[0];
  if (most === undefined || soft === undefined) {
    return unseen(name, "fs.pipe-max-size", "how much one splice moves");
  }
  const privileged = [CAP_SYS_RESOURCE, CAP_SYS_ADMIN].some((bit) => hasCapability(machine, bit) === true);
  const page = machine.fact(MachineFact.PageBytes) ?? 4_096, wanted = reactors * capacity.pipes;
  const whole = privileged || soft === 0 ? Infinity : Math.floor(soft * page / PIPE_BYTES);
  const now = machine.fact(MachineFact.PipeBytes) ?? PIPE_BYTES;
  const size = privileged ? PIPE_BYTES : Math.min(PIPE_BYTES, most, now < 0 ? 0 : now);
  const small = size < PIPE_BYTES, few = whole < wanted;
  return {
    name,
    found: `${roundedSize(size)} each` +
      (whole === Infinity ? ", as many as there may be" : `, ${grouped(whole)} of that size for this user`),
    verdict: small || few ? "note" : "ok",
    limits: few
      ? `Sluice opens up to ${
        grouped(wanted)
      } while as many streams are in the midst of it; further ones are ` +
        "smaller, down to a page, and cost more calls for each byte"
      : `Sluice opens up to ${grouped(wanted)}, one for each bulk stream in the midst of it`,
    change: [
      ...(most < PIPE_BYTES ? sysctlChange("fs.pipe-max-size", PIPE_BYTES) : []),
      ...(few ? sysctlChange("fs.pipe-user-pages-soft", Math.ceil(wanted * PIPE_BYTES / page)) : []),
    ],
  };
}
