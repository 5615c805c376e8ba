// What holds between the keys of TLS, each of them good by itself: who needs a certificate and who has none,
// what would change nothing. What the files hold that they name is certificate_files.ts's.
import { coversName } from "../certificates/pair.ts";
import { quoted, shown } from "./errors.ts";
import { type Finding, type Path, valueAt } from "./finding.ts";
import { isRedirectAlone, serverText } from "./protocols.ts";
import type { Config } from "./schema.ts";
import { type Acme, ACME_DIRECTORY } from "./tls_schema.ts";
import { isAddress, SNI_DEFAULT } from "./tls_values.ts";
import { formatDuration } from "./units.ts";
import { endedNames } from "./sni_schema.ts";

type Listener = Config["listeners"][string];

/** What browsers ask of those who want to be built in. */
const PRELOAD_MS_MIN = 365 * 86_400_000;
const NEEDS =
  "give a certificate (tls.certificates, or --cert and --key), or have one issued (tls.acme, or " +
  "--acme-email)";

function error(path: Path, what: string, remedy: string): Finding {
  return { path, what, remedy, severity: "error" };
}

function warning(path: Path, what: string, remedy: string): Finding {
  return { path, what, remedy, severity: "warning" };
}

/** `raw` is what `config` was made of: it tells what somebody wrote. */
export function checkTls(config: Config, raw: unknown): Finding[] {
  const listeners = Object.entries(config.listeners);
  return [
    ...ofAccounts(config),
    ...listeners.flatMap(([name, listener]) => [
      ...ofSni(name, listener),
      ...ofCertificates(name, listener, raw),
      ...ofClients(name, listener, raw),
      ...ofAcme(name, listener, config),
      ...ofHttps(name, listener, config, raw),
    ]),
    ...ofTickets(config),
    ...Object.keys(config.upstreams).flatMap((name) => ofUpstream(name, config, raw)),
  ];
}

/** Whether TLS ends at a listener. */
export function endsTls({ bind, sni }: Listener): boolean {
  return bind.some(({ tls }) => tls) || endedNames({ sni }).length > 0;
}

/** The names that a listener has certificates issued for: the hosts of its routes, and the names that sni ends TLS
 * for, but those that a certificate which was given is for. In lower case, each once; neither addresses nor names
 * with a star. */
export function acmeNames(
  listener: Listener,
  given: readonly { readonly names: readonly string[] }[] = [],
): string[] {
  return namesOf(listener).filter((name) =>
    !name.startsWith("*.") && name !== SNI_DEFAULT &&
    !given.some((certificate) => coversName(certificate, name))
  );
}

/** The same with stars. */
function namesOf({ routes, sni }: Listener): string[] {
  const hosts = routes.flatMap(({ match }) => match.host).filter((host) => !isAddress(host));
  return [...new Set([...hosts, ...endedNames({ sni })])];
}

function ofSni(name: string, { bind, sni, to }: Listener): Finding[] {
  if (sni === undefined) return [];
  const path = ["listeners", name];
  if (bind.some(({ protocol }) => protocol !== "tcp")) {
    const isHttp = bind.some(({ protocol }) => protocol === "http");
    return [
      error(
        [...path, "sni"],
        "only tcp:// has it",
        `leave it out${isHttp ? "; a route matches the host" : ""}`,
      ),
    ];
  }
  const ended = bind.findIndex(({ tls }) => tls);
  const findings: Finding[] = [];
  if (ended >= 0) {
    const what = "sni looks at the name before TLS begins, and tls:// ends TLS for all names";
    const remedy = "listen on tcp://, and write { terminate: UPSTREAM } where it is to end";
    findings.push({ ...error([...path, "sni"], what, remedy), orPath: [...path, "bind", ended] });
  }
  if (to !== undefined) {
    const remedy = `leave it out, or write it as ${SNI_DEFAULT} of sni`;
    findings.push(error([...path, "to"], "contradicts sni, which says where connections go", remedy));
  }
  return findings;
}

function ofCertificates(name: string, listener: Listener, raw: unknown): Finding[] {
  const { tls, bind, sni } = listener, path = ["listeners", name];
  if (!endsTls(listener)) {
    const timeout = [...path, "timeouts", "handshake"];
    return [
      ...(tls === undefined ? [] : [
        error(
          [...path, "tls"],
          "nothing here has TLS to be ended",
          "listen on https:// or tls://, or leave it out",
        ),
      ]),
      ...(valueAt(raw, timeout) === undefined || listener["accept-proxy"].length > 0
        ? []
        : [error(timeout, "nothing here has TLS", "leave it out")]),
    ];
  }
  if (tls === undefined) {
    const at = bind.findIndex((bind) => bind.tls);
    const [ended = ""] = endedNames({ sni });
    const what = at >= 0
      ? `${quoted(bind[at].text)} has no certificate`
      : `TLS of ${quoted(ended)} has no certificate`;
    const isList = Array.isArray(valueAt(raw, [...path, "bind"]));
    const place = [...path, ...(at < 0 ? ["sni", ended] : isList ? ["bind", at] : ["bind"])];
    return [{ ...error(place, what, NEEDS), missing: [...path, "tls"] }];
  }
  const findings: Finding[] = [];
  if (tls.certificates.length === 0 && tls.acme === undefined) {
    const missing = [...path, "tls", "certificates"];
    findings.push({ ...error([...path, "tls"], "no certificate", NEEDS), missing });
  }
  if (tls.alpn !== undefined && bind.some(({ protocol }) => protocol === "http")) {
    findings.push(
      error([...path, "tls", "alpn"], "https:// offers the protocols of HTTP itself", "leave it out"),
    );
  }
  return findings;
}

function ofClients(name: string, listener: Listener, raw: unknown): Finding[] {
  const { tls } = listener, path = ["listeners", name, "tls", "client"];
  if (tls === undefined) return [];
  const { mode, ca } = tls.client;
  if (mode !== "off") {
    if (ca !== undefined) return [];
    return [
      error([...path, "ca"], "nobody's certificates would be taken", "write ca: FILE, the authority's"),
    ];
  }
  const written = ["ca", "crl"].filter((key) => valueAt(raw, [...path, key]) !== undefined);
  return written.map((key) =>
    error(
      [...path, key],
      "no client is asked for a certificate",
      "write mode: ask or mode: require, or leave it out",
    )
  );
}

/** Names ending so are nobody's outside (RFC 6761, 6762, 8375). */
const PRIVATE = /(?:^|\.)(?:localhost|local|internal|test|invalid|home\.arpa|lan)$/;

function ofAcme(name: string, listener: Listener, config: Config): Finding[] {
  const { tls } = listener, path = ["listeners", name, "tls", "acme"];
  if (tls?.acme === undefined || !endsTls(listener)) return [];
  const { acme } = tls, findings: Finding[] = [];
  const names = acmeNames(listener), onDemand = acme["on-demand"] !== undefined;
  if (names.length === 0 && !onDemand && !namesOf(listener).some((name) => name.startsWith("*."))) {
    const what = "no certificate could be asked for";
    const isHttp = listener.bind.some(({ protocol }) => protocol === "http");
    findings.push(
      isHttp
        ? error(
          path,
          `${what}: no route has a host`,
          "write match: { host: NAME } in a route (https://NAME on the command line)",
        )
        : error(
          path,
          `${what}: tls:// knows no names`,
          "give a certificate, or listen on tcp:// with sni: { NAME: { terminate: UPSTREAM } }",
        ),
    );
  }
  if (acme.storage === "") {
    const what = "HOME gives no place for what is issued";
    findings.push(error([...path, "storage"], what, "write storage: DIRECTORY"));
  }
  findings.push(...ofChallenges(acme, [...path, "challenges"], config));
  if (acme.directory !== ACME_DIRECTORY) return findings;
  for (const outside of names.filter((name) => !name.includes(".") || PRIVATE.test(name))) {
    const what = `${quoted(outside)} is a name that no public authority gives certificates for`;
    const remedy = "write the directory of your own authority, or give a certificate";
    findings.push(warning([...path, "directory"], what, remedy));
  }
  return findings;
}

/** All listeners that have certificates issued do so by one account. */
function ofAccounts({ listeners }: Config): Finding[] {
  const all = Object.entries(listeners).flatMap(([name, { tls }]) =>
    tls?.acme === undefined ? [] : [[name, tls.acme]] as const
  );
  const [first, ...others] = all;
  return others.flatMap(([name, acme]) => {
    const keys = [...new Set([...Object.keys(first[1]), ...Object.keys(acme)])] as (keyof Acme)[];
    const differs = keys.find((key) => JSON.stringify(first[1][key]) !== JSON.stringify(acme[key]));
    if (differs === undefined) return [];
    const what = `${quoted(differs)} differs from that of listener ${
      quoted(first[0])
    }, and both share one account`;
    const path = ["listeners", name, "tls", "acme"];
    return [{ ...error([...path, differs], what, "write the same for both"), orPath: path }];
  });
}

function ofChallenges(acme: Acme, path: Path, { listeners }: Config): Finding[] {
  const hasHttp = Object.values(listeners).some(({ bind }) =>
    bind.some(({ protocol, tls }) => protocol === "http" && !tls)
  );
  if (acme.challenges === undefined) return [];
  const seen = new Set(acme.challenges);
  if (seen.size < acme.challenges.length) {
    return [warning(path, "one of them is given twice", "leave it out")];
  }
  if (seen.has("tls-alpn-01") || hasHttp) return [];
  return [
    error(path, "http-01 is answered on http://, where nothing listens", "listen on http://:80 as well"),
  ];
}

function ofHttps(name: string, listener: Listener, { listeners }: Config, raw: unknown): Finding[] {
  const { bind, hsts } = listener, path = ["listeners", name];
  const isHttp = bind.some(({ protocol }) => protocol === "http");
  const findings: Finding[] = [];
  if (listener["redirect-to-https"]) {
    const place = [...path, "redirect-to-https"];
    const hasHttps = Object.values(listeners).some(({ bind }) =>
      bind.some(({ protocol, tls }) => protocol === "http" && tls)
    );
    if (!bind.some(({ protocol, tls }) => protocol === "http" && !tls)) {
      findings.push(
        error(place, "nothing comes over http:// here", "listen on http:// as well, or leave it out"),
      );
    } else if (!hasHttps) {
      findings.push(
        error(place, "nothing listens on https://", "listen on https:// as well, or leave it out"),
      );
    }
  }
  if (isRedirectAlone(listener)) {
    for (const key of ["to", "routes"]) {
      if (valueAt(raw, [...path, key]) === undefined) continue;
      const what = "no request comes here: redirect-to-https takes all of them before";
      findings.push(error([...path, key], what, "leave it out, or listen on https:// here as well"));
    }
  }
  if (hsts === undefined) return findings;
  const place = [...path, "hsts"];
  if (!isHttp || !bind.some(({ tls }) => tls)) {
    return [...findings, error(place, "only https:// has it", "leave it out, or listen on https:// here")];
  }
  if (hsts.preload && (!hsts.subdomains || hsts["max-age"] < PRELOAD_MS_MIN)) {
    const least = formatDuration(PRELOAD_MS_MIN);
    findings.push(warning(
      [...place, "preload"],
      "no browser builds it in like that",
      `write subdomains: true and a max-age of ${least} or more`,
    ));
  }
  return findings;
}

function ofTickets(config: Config): Finding[] {
  if (config["tls-ticket-keys"] === undefined || Object.values(config.listeners).some(endsTls)) return [];
  return [error(["tls-ticket-keys"], "no listener has TLS", "leave it out")];
}

function ofUpstream(name: string, { upstreams }: Config, raw: unknown): Finding[] {
  const { tls, servers } = upstreams[name], path = ["upstreams", name];
  if (tls === undefined) return [];
  const written = valueAt(raw, [...path, "tls"]) !== undefined;
  const findings = servers.flatMap(({ address }, at) => {
    const text = serverText(raw, name, at), place = [...path, "servers", at];
    if (written && text.startsWith("http://")) {
      const remedy = `write https://${shown(text.slice("http://".length))}, or leave out tls`;
      return [error(place, `${quoted(text)} is without TLS, and the upstream has tls`, remedy)];
    }
    if (address.kind !== "unix" || tls.verify === "off" || tls["server-name"] !== undefined) return [];
    if (tls.pins.length > 0) return [];
    return [
      error(
        place,
        `${quoted(text)} has no name that a certificate could have`,
        "write tls: { server-name: NAME }",
      ),
    ];
  });
  if (tls.verify === "off") {
    for (const key of ["ca", "crl"]) {
      if (valueAt(raw, [...path, "tls", key]) === undefined) continue;
      findings.push(error([...path, "tls", key], "nothing is verified", "leave it out, or write verify: on"));
    }
    findings.push(warning(
      [...path, "tls", "verify"],
      tls.pins.length > 0
        ? "a server's certificate is looked at for its key alone"
        : "whoever answers is taken for the server, and reads and changes what is sent",
      tls.pins.length > 0 ? "leave it out unless that is meant" : "write ca: FILE, or pins: [BASE64]",
    ));
  }
  return findings;
}
