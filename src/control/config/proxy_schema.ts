// The part of the schema that is about the PROXY protocol: whose headers are believed, and what servers are told.
import * as z from "zod";
import { SendProxy as Sends } from "../../plan/plan.ts";
import { type Cidr, readCidr } from "./cidr.ts";
import { quoted, type Reading, refused, taken } from "./errors.ts";
import { key, text } from "./keys.ts";

/** What an upstream's servers are told of a client before its first byte; undefined: nothing. */
export interface SendProxy {
  readonly version: "v1" | "v2";
  readonly "unique-id": boolean;
  readonly crc32c: boolean;
  readonly tls: boolean;
}

/** One prefix, or several with commas. */
function readCidrs(input: string): Reading<Cidr[]> {
  const cidrs: Cidr[] = [];
  for (const one of input.split(",")) {
    if (one.trim() === "" && input !== "") {
      return refused(`${quoted(input)} has a comma with nothing beside it`, "leave it out");
    }
    const reading = readCidr(one.trim());
    if (!reading.ok) return refused(reading.what, reading.remedy);
    cidrs.push(reading.value);
  }
  return taken(cidrs);
}

/** One prefix or a list of them. */
export const proxies = z.union([text(readCidrs), z.array(text(readCidr)).min(1)]);

function option(description: string) {
  return key(z.boolean().prefault(false), { description, placeholder: "true|false", defaultText: "false" });
}

const options = z.strictObject({
  version: key(z.enum(["v1", "v2"]), {
    description: "of the header: a line of text, or binary with fields behind the addresses",
    placeholder: "v1|v2",
    example: "v2",
  }),
  "unique-id": option("v2: a number of the client's connection, unless the proxy before gave one"),
  crc32c: option("v2: a checksum over the header"),
  tls: option(
    "v2: the name that the client asked for by TLS; of TLS that ends here protocol, version, cipher, and the " +
      "common name of the client's certificate",
  ),
}).superRefine((given, context) => {
  if (given.version === "v2") return;
  for (const name of ["unique-id", "crc32c", "tls"] as const) {
    if (!given[name]) continue;
    const params = { remedy: "write version: v2, or leave it out" };
    context.addIssue({ code: "custom", path: [name], message: "version 1 has no place for it", params });
  }
});

export const sendProxy = z.union([z.enum(["v1", "v2"]), options]).transform((given): SendProxy =>
  typeof given === "string" ? { version: given, "unique-id": false, crc32c: false, tls: false } : given
);

/** As the Plan has it. */
export function sendProxyBits(given: SendProxy | undefined): number {
  if (given === undefined) return Sends.Off;
  return (given.version === "v1" ? Sends.V1 : Sends.V2) |
    (given["unique-id"] ? Sends.UniqueId : 0) | (given.crc32c ? Sends.Checksum : 0) |
    (given.tls ? Sends.Tls : 0);
}
