// A client behind a proxy that speaks the PROXY protocol: its header comes first, then TLS or whatever else. And a
// server's view: the header that a connection begins with.
import { connect as connectPlain } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { HttpPeer } from "./http_peer.ts";
import { Peer } from "./peer.ts";
import { within } from "./waiting.ts";

/** By TLS behind a header, without a look at the certificate. */
export async function connectBehind(
  port: number,
  header: string | Uint8Array,
  servername: string,
): Promise<HttpPeer> {
  const socket = connectPlain({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.write(header);
  const secure = connectTls({ socket, servername, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
  const connected = new Promise<TLSSocket>((resolve, reject) => {
    secure.once("error", reject);
    secure.once("secureConnect", () => resolve(secure));
  });
  return new HttpPeer(new Peer(await within("a handshake behind a PROXY header", connected)));
}

const LINE_BYTES_MAX = 107;
const FIXED_BYTES = 16;
const LENGTH = 14;

/** The line of version 1 that a connection begins with, without its end. */
export async function readLine(peer: Peer): Promise<string> {
  let line = "";
  while (!line.endsWith("\r\n")) {
    if (line.length >= LINE_BYTES_MAX) throw new Error(`no line of version 1: ${line}`);
    line += await peer.readText(1);
  }
  return line.slice(0, -2);
}

/** The header of version 2 that a connection begins with. */
export async function readHeader(peer: Peer): Promise<Uint8Array> {
  const fixed = await peer.read(FIXED_BYTES);
  return Buffer.concat([fixed, await peer.read(fixed.readUInt16BE(LENGTH))]);
}
