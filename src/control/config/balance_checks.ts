// What holds between an upstream's rule, its servers, and those that use it.
import { shown } from "./errors.ts";
import { type Finding, type Path, valueAt } from "./finding.ts";
import type { Config } from "./schema.ts";

type Upstream = Config["upstreams"][string];

/** @param isHttp whether a listener of HTTP leads to it, `tcp` the name of one that does not, if there is one */
export function checkBalance(
  name: string,
  upstream: Upstream,
  isHttp: boolean,
  tcp: string | undefined,
  raw: unknown,
): Finding[] {
  const path: Path = ["upstreams", name], { balance: { rule, by }, servers } = upstream;
  const findings: Finding[] = [];
  const error = (at: Path, what: string, remedy: string): void => {
    findings.push({ path: at, what, remedy, severity: "error" });
  };
  const warning = (at: Path, what: string, remedy: string): void => {
    findings.push({ path: at, what, remedy, severity: "warning" });
  };
  if (tcp !== undefined && by.kind !== "client") {
    const what = `listener ${shown(tcp)} is for tcp://, and a connection has no ${by.kind}`;
    error([...path, "balance", rule, "by"], what, isHttp ? "write an upstream for each" : "write client");
  }
  const slow = [...path, "slow-start"];
  if (upstream["slow-start"] !== undefined) {
    const isNamed = servers.some(({ address }) => address.kind === "name");
    if (rule === "first") error(slow, "first goes by no weight", "leave it out");
    else if (upstream.health === "off" && !isNamed) {
      error(slow, "no server ever joins or comes back: there are no checks, and no names", "leave it out");
    }
  }
  servers.forEach(({ weight, backup }, at) => {
    const place: Path = Array.isArray(valueAt(raw, [...path, "servers"]))
      ? [...path, "servers", at]
      : [...path, "servers"];
    if (rule === "first" && weight > 1) {
      error(place, "weight, and first goes by none", "leave the weight out, or choose another rule");
    }
    if (backup && servers.every((other) => other.backup)) {
      warning(place, "a backup, and there is nobody that it is one for", "leave backup out");
    }
  });
  if (servers.every(({ weight }) => weight === 0)) {
    warning(
      [...path, "servers"],
      "every server has weight 0: nothing goes there",
      "give one of them a weight",
    );
  }
  return findings;
}
