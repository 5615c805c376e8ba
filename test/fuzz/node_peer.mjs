// Node's own HTTP parser, fed with whole messages from standard input: kind (1 byte: 0 request, 1 answer to
// GET, 2 answer to HEAD), length (4 bytes, little end first), bytes. One line each on standard output:
//   ok METHOD-OR-STATUS TARGET HOST BODY-BYTES FIELDS      one message, from the first byte to the last
//   no WHY
import { createRequire } from "node:module";

const { HTTPParser, methods } = createRequire(import.meta.url)("_http_common");
const HEADER_BYTES_MAX = 1 << 20;

let messages, completes, first, early, fields, trailing, bodyBytes, kind;

/** Many fields come in parts, and the target with the first of them. */
function onHeaders(list, url) {
  if (trailing) return;
  fields.push(...list);
  early += url;
}

function onHeadersComplete(major, minor, list, method, url, status) {
  if (list !== undefined) fields.push(...list);
  messages++;
  trailing = true;
  first = kind === 0 ? `${methods[method]} ${url ?? early}` : `${status} -`;
  return kind === 2 ? 1 : 0; // 1: no body, whatever the head says
}

function judge(bytes) {
  messages = completes = bodyBytes = 0;
  fields = [];
  early = "";
  trailing = false;
  const parser = new HTTPParser();
  parser.initialize(kind === 0 ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, HEADER_BYTES_MAX, 0);
  parser[HTTPParser.kOnHeaders] = onHeaders;
  parser[HTTPParser.kOnHeadersComplete] = onHeadersComplete;
  parser[HTTPParser.kOnBody] = (piece) => void (bodyBytes += piece.length);
  parser[HTTPParser.kOnMessageComplete] = () => void completes++;
  const result = parser.execute(bytes);
  const ended = typeof result === "number" && completes === 0 ? parser.finish() : undefined;
  parser.close();
  if (typeof result !== "number") return `no ${result.code} ${result.reason}`;
  if (ended !== undefined) return `no ${ended.code} ${ended.reason}`;
  if (result !== bytes.length) return `no it took ${result} of ${bytes.length} bytes`;
  if (messages !== 1 || completes !== 1) return `no it saw ${messages} heads and ${completes} ends`;
  const host = fields.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === "host");
  const value = host < 0 || kind !== 0 ? "-" : fields[host + 1] || "-";
  return `ok ${first} ${value} ${bodyBytes} ${fields.length / 2}`;
}

let input = Buffer.alloc(0);
process.stdin.on("data", (piece) => {
  input = input.length === 0 ? piece : Buffer.concat([input, piece]);
  let at = 0, output = "";
  while (input.length - at >= 5 && input.length - at >= 5 + input.readUInt32LE(at + 1)) {
    const end = at + 5 + input.readUInt32LE(at + 1);
    kind = input[at];
    output += judge(input.subarray(at + 5, end)).replaceAll("\n", " ") + "\n";
    at = end;
  }
  input = input.subarray(at);
  process.stdout.write(output);
});
