// A client of https:// in the hands of a test: TLS by the runtime, bytes as http_peer.ts has them.
import { connect, type ConnectionOptions } from "node:tls";
import { readFileSync } from "node:fs";
import type { Certificates, Made } from "./certificates.ts";
import { HttpPeer } from "./http_peer.ts";
import { Peer } from "./peer.ts";
import { within } from "./waiting.ts";

export interface Secured {
  /** The name that is asked for; none if empty. */
  readonly name: string;
  /** What it shows. */
  readonly shown?: Made;
  /** Whom it takes; nobody looks if not given. */
  readonly world?: Certificates;
  readonly version?: "TLSv1.2" | "TLSv1.3";
}

/** Resolves once its handshake is done, rejects when it failed. */
export function connectSecurely(port: number, { name, shown, world, version }: Secured): Promise<HttpPeer> {
  const options: ConnectionOptions = {
    host: "127.0.0.1",
    port,
    servername: name,
    rejectUnauthorized: world !== undefined,
    ...(world === undefined ? {} : { ca: readFileSync(world.root.cert) }),
    ...(shown === undefined ? {} : { cert: readFileSync(shown.chain), key: readFileSync(shown.key) }),
    ...(version === undefined ? {} : { minVersion: version, maxVersion: version }),
  };
  const socket = connect(options);
  const connected = new Promise<HttpPeer>((resolve, reject) => {
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      socket.off("error", reject);
      resolve(new HttpPeer(new Peer(socket)));
    });
  });
  return within(`a TLS connection to port ${port}`, connected);
}
