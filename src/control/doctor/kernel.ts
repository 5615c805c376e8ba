// The kernel, the C library and the processor: what must be there, and what of it works here.
import { CPU_FLOOR, findMissing, GLIBC_FLOOR, KERNEL_FLOOR } from "../../sys/floor.ts";
import { EAFNOSUPPORT, ENOSYS, EPERM, errnoName } from "../../sys/errno.ts";
import { ABI, MachineFact } from "../../sys/symbols.ts";
import { shown } from "../config/errors.ts";
import { type Change, type Check, sysctlChange, type Verdict } from "./check.ts";
import { bindsOf, type Load } from "./load.ts";
import { isFiltered, type Machine, sysctl } from "./machine.ts";

export function kernelChecks(machine: Machine, load: Load): Check[] {
  return [version(machine), glibc(machine), processor(machine), library(machine), ...features(machine, load)];
}

function version({ read }: Machine): Check {
  const name = "kernel", release = read("/proc/sys/kernel/osrelease");
  const limits = `Linux ${KERNEL_FLOOR} or newer is needed`;
  if (release === undefined) {
    return { name, found: "not to be seen from here", verdict: "note", limits, change: [] };
  }
  const old = findMissing(GLIBC_FLOOR, release, []) !== "";
  return {
    name,
    found: `Linux ${shown(release)}`,
    verdict: old ? "fail" : "ok",
    limits,
    change: [{ when: "instead", command: "a newer release of the distribution, or its newer kernel" }],
  };
}

function glibc({ fact }: Machine): Check {
  const name = "glibc", number = fact(MachineFact.Glibc);
  const limits = `glibc ${GLIBC_FLOOR} or newer is needed`;
  if (number === undefined) {
    return { name, found: "not known: see library", verdict: "note", limits, change: [] };
  }
  const found = `${Math.floor(number / 1_000)}.${number % 1_000}`;
  const old = findMissing(found, KERNEL_FLOOR, []) !== "";
  return {
    name,
    found,
    verdict: old ? "fail" : "ok",
    limits,
    change: [{ when: "instead", command: "a newer release of the distribution; musl will not do" }],
  };
}

function processor({ read }: Machine): Check {
  const name = "processor", flags = /^flags\s*:(.*)$/m.exec(read("/proc/cpuinfo") ?? "")?.[1];
  const limits = `x86-64 with ${CPU_FLOOR.join(" and ")} is needed, or arm64`;
  if (flags === undefined) {
    return { name, found: "its flags are not told", verdict: "ok", limits, change: [] };
  }
  const lacks = findMissing(GLIBC_FLOOR, KERNEL_FLOOR, flags.trim().split(" "));
  return {
    name,
    found: lacks === "" ? "has what is needed" : lacks,
    verdict: lacks === "" ? "ok" : "fail",
    limits,
    change: [{
      when: "instead",
      command: "a virtual machine that is given its host's processor (-cpu host)",
    }],
  };
}

function library({ libraryFlaw }: Machine): Check {
  return {
    name: "library",
    found: libraryFlaw === "" ? `opened, ABI ${ABI}` : shown(libraryFlaw, 200),
    verdict: libraryFlaw === "" ? "ok" : "fail",
    limits: "without it nothing moves",
    change: [{ when: "instead", command: "the executable as it was built; of the sources: npm run build" }],
  };
}

interface Feature {
  readonly fact: MachineFact;
  readonly name: string;
  /** The call that a filter would have to let through. */
  readonly call: string;
  readonly limits: string;
  readonly verdict: (load: Load) => Verdict;
  /** Without it, everybody's. */
  readonly isAsked?: (config: Load["config"]) => boolean;
}

const FEATURES: readonly Feature[] = [
  {
    fact: MachineFact.Epoll,
    name: "epoll",
    call: "epoll_create1, epoll_ctl, eventfd2",
    limits: "what a reactor waits in",
    verdict: () => "fail",
  },
  {
    fact: MachineFact.Splice,
    name: "splice",
    call: "splice, pipe2",
    limits: "bulk streams and large bodies go through it, and would break",
    verdict: () => "fail",
  },
  {
    fact: MachineFact.Memfd,
    name: "memfd",
    call: "memfd_create",
    limits: "where the executable keeps its C library",
    verdict: () => "fail",
  },
  {
    fact: MachineFact.DualStack,
    name: "IPv6",
    call: "socket, bind",
    limits: "a listener on :PORT is on every address of IPv6 and IPv4; without it write 0.0.0.0:PORT",
    verdict: ({ config, given }) =>
      given && bindsOf(config).some((address) => address.kind === "ip" && address.family === 6)
        ? "fail"
        : "warn",
  },
  {
    fact: MachineFact.ReusePort,
    name: "SO_REUSEPORT",
    call: "setsockopt",
    limits: "accept: reuseport",
    verdict: ({ config }) => config.accept === "reuseport" ? "fail" : "note",
  },
  {
    fact: MachineFact.OpenAt2,
    name: "openat2",
    call: "openat2",
    limits: "nothing in this version; files will be served by it",
    verdict: () => "note",
  },
  {
    fact: MachineFact.ReadNoWait,
    name: "RWF_NOWAIT",
    call: "preadv2",
    limits: "nothing in this version; files will be served by it",
    verdict: () => "note",
  },
  {
    fact: MachineFact.Mptcp,
    name: "MPTCP",
    call: "socket",
    limits: "socket.mptcp; without it TCP is used",
    verdict: () => "warn",
    isAsked: (config) => anySocket(config, "mptcp"),
  },
  {
    fact: MachineFact.Transparent,
    name: "IP_TRANSPARENT",
    call: "setsockopt",
    limits: "source: client, and listeners with socket.transparent",
    verdict: () => "fail",
    isAsked: isTransparent,
  },
  {
    fact: MachineFact.Device,
    name: "SO_BINDTODEVICE",
    call: "setsockopt",
    limits: "socket.interface",
    verdict: () => "fail",
    isAsked: (config) => anySocket(config, "interface"),
  },
];

function anySocket({ listeners, upstreams }: Load["config"], key: "mptcp" | "interface"): boolean {
  return [...Object.values(listeners), ...Object.values(upstreams)].some(({ socket }) =>
    socket[key] !== undefined && socket[key] !== false
  );
}

function isTransparent({ listeners, upstreams }: Load["config"]): boolean {
  return Object.values(listeners).some(({ socket }) => socket.transparent === true) ||
    Object.values(upstreams).some(({ source }) => source === "client");
}

/** One check for all that works, one for each that does not. */
function features(machine: Machine, load: Load): Check[] {
  const asked = FEATURES.filter(({ isAsked }) => isAsked === undefined || isAsked(load.config));
  const tried = asked.map((feature) => ({ feature, result: machine.fact(feature.fact) }));
  const good = tried.filter(({ result }) => result === 1).map(({ feature }) => feature.name);
  const missing = tried.flatMap(({ feature, result }): Check[] =>
    result === undefined || result === 1 ? [] : [{
      name: feature.name,
      found: `does not work: ${errnoName(-result)}`,
      verdict: feature.verdict(load),
      limits: feature.limits,
      change: changeOf(machine, feature, -result),
    }]
  );
  const v6only = sysctl(machine, "net.ipv6.bindv6only")?.[0] === 1;
  return [{
    name: "kernel features",
    found: good.length === 0 ? "none could be tried: see library" : good.join(", "),
    verdict: good.length === 0 ? "note" : "ok",
    limits: v6only
      ? "net.ipv6.bindv6only is on, which Sluice's listeners do not go by"
      : "tried, not looked up",
    change: [],
  }, ...missing];
}

function changeOf(machine: Machine, { fact, call }: Feature, errno: number): Change[] {
  if (fact === MachineFact.Mptcp && !isFiltered(machine)) return sysctlChange("net.mptcp.enabled", 1);
  if (fact === MachineFact.Transparent && errno === EPERM) {
    return [
      { when: "systemd", command: "AmbientCapabilities=CAP_NET_ADMIN    # under [Service]" },
      { when: "for good", command: `setcap cap_net_admin=+ep ${machine.program}` },
    ];
  }
  if (fact === MachineFact.DualStack && errno === EAFNOSUPPORT) {
    return [{ when: "for good", command: "no ipv6.disable=1 on the kernel's command line; modprobe ipv6" }];
  }
  if ((errno === EPERM || errno === ENOSYS) && isFiltered(machine)) {
    return [{
      when: "instead",
      command: `let the container's seccomp filter pass ${call}: a newer container runtime, or its profile ` +
        "(docker run --security-opt seccomp=FILE)",
    }];
  }
  return [{
    when: "instead",
    command: "a kernel that has it, or a policy (seccomp, SELinux) that allows it",
  }];
}
