// TLS: certificates of the file that end soon, the authorities that servers are verified by, and whether the
// kernel does the records.
import { daysLeft, endsSoon, endText, namesText } from "../certificates/expiry.ts";
import { firstOf } from "../certificates/presented.ts";
import { systemAuthorities } from "../certificates/profiles.ts";
import { shown } from "../config/errors.ts";
import type { Config } from "../config/schema.ts";
import { counted } from "../config/units.ts";
import { ENOENT, errnoName } from "../../sys/errno.ts";
import { MachineFact } from "../../sys/symbols.ts";
import type { Check } from "./check.ts";
import type { Load } from "./load.ts";
import type { Machine } from "./machine.ts";

/** Certificates that are told; more are counted. */
const TOLD_MAX = 4;

/** A file without TLS needs none of this. */
export function tlsChecks(machine: Machine, { config, given }: Load): Check[] {
  const verifying = Object.entries(config.upstreams)
    .filter(([, { tls }]) => tls !== undefined && tls.verify === "on" && tls.ca === undefined)
    .map(([name]) => name);
  const files = certificateFiles(config), hasTls = files.length > 0 || usesTls(config);
  return [
    ...(files.length > 0 ? [certificates(machine, files)] : []),
    ...(!given || verifying.length > 0 ? [authorities(machine, verifying)] : []),
    ...(!given || hasTls ? [kernelTls(machine)] : []),
  ];
}

function usesTls({ listeners, upstreams }: Config): boolean {
  return [...Object.values(listeners), ...Object.values(upstreams)].some(({ tls }) => tls !== undefined);
}

/** Of listeners, and what is shown to servers; each once. */
function certificateFiles({ listeners, upstreams }: Config): string[] {
  const shownToClients = Object.values(listeners).flatMap(({ tls }) => tls?.certificates ?? []);
  const own = Object.values(upstreams).flatMap(({ tls }) => tls?.cert ?? []);
  return [...new Set([...shownToClients.map(({ cert }) => cert), ...own])];
}

/** That a file is none of this is said when the configuration is read. */
function certificates({ read, wallMs }: Machine, files: readonly string[]): Check {
  const found = files.flatMap((file) => {
    const certificate = firstOf(read(file) ?? "");
    return certificate === undefined ? [] : [{ file, certificate }];
  }).sort((one, other) => one.certificate.notAfter - other.certificate.notAfter);
  const now = wallMs(), name = "certificates of the file", [first] = found;
  if (first === undefined) {
    return { name, found: "none of them can be read here", verdict: "warn", limits: "", change: [] };
  }
  const text = ({ file, certificate }: (typeof found)[number]): string => {
    const names = certificate.names.length === 0 ? "" : ` (${namesText(certificate.names)})`;
    return `${shown(file)}${shown(names)} ${endText(certificate, now)}`;
  };
  const soon = found.filter(({ certificate }) => endsSoon(certificate, now));
  const told = soon.length === 0 ? [first] : soon.slice(0, TOLD_MAX);
  const more = soon.length > TOLD_MAX ? `; and ${soon.length - TOLD_MAX} more` : "";
  const ended = daysLeft(first.certificate, now) < 0;
  return {
    name,
    found: `${counted(found.length, "certificate")}${soon.length === 0 ? "; the first to end: " : ": "}` +
      told.map(text).join("; ") + more,
    verdict: ended ? "fail" : soon.length > 0 ? "warn" : "ok",
    limits: "whoever verifies turns away once it has ended; new files are taken as they come",
    change: [
      {
        when: "now",
        command: `openssl x509 -noout -issuer -dates -in ${shown(first.file)}    # who renews it`,
      },
      { when: "for good", command: "listeners.NAME.tls.acme, which renews by itself" },
    ],
  };
}

/** What servers are verified by where the file names none. */
function authorities({ read, env }: Machine, upstreams: readonly string[]): Check {
  const path = systemAuthorities(env, (path) => read(path) !== undefined);
  const text = path === undefined ? undefined : read(path);
  const count = text?.match(/^-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----/gm)?.length ?? 0;
  const needed = upstreams.length > 0;
  return {
    name: "authorities",
    found: path === undefined
      ? "this system has no file of authorities"
      : text === undefined
      ? `${shown(path)}, which SSL_CERT_FILE names, cannot be read here`
      : `${counted(count, "certificate")} of authorities in ${shown(path)}`,
    verdict: count > 0 ? "ok" : needed ? "fail" : "note",
    limits: count > 0 || !needed
      ? "servers behind https:// and tls:// are verified by them, unless upstreams.NAME.tls.ca is given"
      : `without them Sluice does not start: upstream ${shown(upstreams[0])} verifies its servers by them`,
    change: [
      { when: "for good", command: "apt-get install ca-certificates, or dnf install ca-certificates" },
      { when: "instead", command: "upstreams.NAME.tls.ca: FILE, with the authority of those servers alone" },
    ],
  };
}

/** Without the kernel's TLS everything works, and costs more. */
function kernelTls({ fact }: Machine): Check {
  const name = "kTLS", result = fact(MachineFact.KernelTls);
  if (result === undefined) {
    return { name, found: "not known: see library", verdict: "note", limits: "", change: [] };
  }
  const missing = result === -ENOENT;
  return {
    name,
    found: result === 1
      ? "the kernel does the records of TLS"
      : missing
      ? "the kernel's module tls is not there"
      : `does not work: ${errnoName(-result)}`,
    verdict: result === 1 ? "ok" : "note",
    limits: result === 1
      ? "bodies and streams are spliced behind TLS as without it"
      : "TLS is done in this process: its bytes are copied, and never spliced",
    change: missing
      ? [
        { when: "now", command: "modprobe tls" },
        { when: "for good", command: "echo tls > /etc/modules-load.d/sluice.conf" },
      ]
      : [{ when: "instead", command: "a kernel that has it, or a policy (seccomp, SELinux) that allows it" }],
  };
}
