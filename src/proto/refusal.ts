// Why a message is refused: each distinct cause has a code. A codec returns the negative of one; what is
// told to the peer, and what is logged, is in REFUSALS. Numbers are kept in logs: new ones come at the end.

export const enum Refusal {
  /** Never returned: 0 means that more bytes are needed. */
  None,
  BareLf,
  BareCr,
  ControlCharacter,
  TooManyEmptyLines,
  TlsOnPlain,
  BadMethod,
  MethodTooLong,
  BadTarget,
  TargetTooLong,
  BadTargetForm,
  BadVersion,
  OldVersion,
  NewVersion,
  HeadTooLong,
  TooManyFields,
  BadFieldName,
  SpaceBeforeColon,
  NoColon,
  ObsFold,
  NoHost,
  SeveralHost,
  BadHost,
  BadPort,
  UserInfo,
  HostConflict,
  BadContentLength,
  SeveralContentLength,
  LengthAndEncoding,
  BadTransferEncoding,
  NotFinalChunked,
  UnknownCoding,
  EncodingInOld,
  BodyNotAllowed,
  BadConnection,
  UnknownExpectation,
  BadChunkSize,
  ChunkTooLarge,
  ChunkLineTooLong,
  BadChunkExtension,
  BadChunkEnd,
  TrailerTooLong,
  BadStatusLine,
  BadStatus,
  BodyTooLong,
  PathAboveRoot,
  BadEscape,
  AmbiguousPath,
  Count,
}

export interface RefusalText {
  /** What a client is answered. When a server's answer is refused, its client gets 502 instead. */
  readonly status: number;
  /** One sentence for a log or an error page. */
  readonly text: string;
}

const refusals: RefusalText[] = [];

function say(code: Refusal, status: number, text: string): void {
  refusals[code] = { status, text };
}

say(Refusal.None, 400, "The message is incomplete.");
say(Refusal.BareLf, 400, "A line ends in LF without CR.");
say(Refusal.BareCr, 400, "A CR is not followed by LF.");
say(Refusal.ControlCharacter, 400, "A field's value or a reason phrase contains a control character.");
say(Refusal.TooManyEmptyLines, 400, "There are too many empty lines before the request line.");
say(Refusal.TlsOnPlain, 400, "This looks like TLS, but plain HTTP is spoken on this port.");
say(Refusal.BadMethod, 400, "The method is not a token followed by one space.");
say(Refusal.MethodTooLong, 501, "The method is longer than any that is known.");
say(Refusal.BadTarget, 400, "The request target contains a character that is not allowed there.");
say(Refusal.TargetTooLong, 414, "The request target is too long.");
say(Refusal.BadTargetForm, 400, "The request target is not of a form that its method allows.");
say(Refusal.BadVersion, 400, "The request line does not end in a space and an HTTP version.");
say(Refusal.OldVersion, 505, "The request has no HTTP version: HTTP/0.9 is not supported.");
say(Refusal.NewVersion, 505, "The HTTP version is neither 1.0 nor 1.1.");
say(Refusal.HeadTooLong, 431, "The head is too long.");
say(Refusal.TooManyFields, 431, "The head has too many fields.");
say(Refusal.BadFieldName, 400, "A field's name is empty or contains a character that is not allowed there.");
say(Refusal.SpaceBeforeColon, 400, "There is white space between a field's name and its colon.");
say(Refusal.NoColon, 400, "A line of the head has no colon.");
say(Refusal.ObsFold, 400, "A line of the head begins with white space.");
say(Refusal.NoHost, 400, "An HTTP/1.1 request has no Host.");
say(Refusal.SeveralHost, 400, "There is more than one Host.");
say(Refusal.BadHost, 400, "The host is neither a name nor an IP address.");
say(Refusal.BadPort, 400, "The host's port is missing or not a number from 0 to 65535.");
say(Refusal.UserInfo, 400, "A user's name comes with the host.");
say(Refusal.HostConflict, 400, "The request target and Host name different hosts.");
say(Refusal.BadContentLength, 400, "Content-Length is not a number that can be a length.");
say(Refusal.SeveralContentLength, 400, "Content-Length has more than one value.");
say(Refusal.LengthAndEncoding, 400, "There are both Content-Length and Transfer-Encoding.");
say(Refusal.BadTransferEncoding, 400, "Transfer-Encoding is malformed.");
say(Refusal.NotFinalChunked, 400, "The transfer codings do not end in chunked, once.");
say(Refusal.UnknownCoding, 501, "A transfer coding other than chunked is not supported.");
say(Refusal.EncodingInOld, 400, "An HTTP/1.0 message has a Transfer-Encoding.");
say(Refusal.BodyNotAllowed, 400, "The message announces a body where none can be.");
say(Refusal.BadConnection, 400, "Connection is not a list of tokens.");
say(Refusal.UnknownExpectation, 417, "Expect is not 100-continue.");
say(Refusal.BadChunkSize, 400, "A chunk's size is not a hexadecimal number.");
say(Refusal.ChunkTooLarge, 400, "A chunk's size has too many digits.");
say(Refusal.ChunkLineTooLong, 400, "A chunk's size line is too long.");
say(Refusal.BadChunkExtension, 400, "A chunk's extension is malformed.");
say(Refusal.BadChunkEnd, 400, "A chunk's data is not followed by CRLF.");
say(Refusal.TrailerTooLong, 431, "The trailer section is too long.");
say(Refusal.BadStatusLine, 502, "The status line is malformed.");
say(Refusal.BadStatus, 502, "The status code is not a number from 100 to 599, nor 999.");

say(Refusal.BodyTooLong, 413, "The body is longer than allowed.");

say(Refusal.PathAboveRoot, 400, "The path climbs above its root.");
say(Refusal.AmbiguousPath, 400, "The path has a .. that two servers could understand in two ways.");
say(Refusal.BadEscape, 400, "The path has a % without two hexadecimal digits behind it, or %00.");

/** By Refusal. */
export const REFUSALS: readonly RefusalText[] = refusals;
