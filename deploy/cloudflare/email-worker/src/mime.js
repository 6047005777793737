// A letter as the bytes of a mail (RFC 5322, RFC 2045–2047, RFC 2231).

const encoder = new TextEncoder();

/**
 * @param {Letter} letter
 * @returns {string}
 */
export function build(letter) {
  const head = [
    ["From", letter.fromName ? `${phrase(letter.fromName)} <${letter.from}>` : letter.from],
    ["To", letter.to.join(",\r\n ")],
    ...(letter.replyTo ? [["Reply-To", letter.replyTo]] : []),
    ["Subject", word(letter.subject)],
    ["Date", new Date().toUTCString().replace("GMT", "+0000")],
    ["Message-ID", letter.messageId],
    ...(letter.inReplyTo ? [["In-Reply-To", letter.inReplyTo]] : []),
    ...(letter.references ? [["References", letter.references.trim().split(/\s+/).join("\r\n ")]] : []),
    ...letter.headers,
    ["MIME-Version", "1.0"],
  ];
  const text = part("text/plain; charset=utf-8", base64(encoder.encode(letter.text)));
  const both = letter.html ? several("alternative", [text, part("text/html; charset=utf-8", base64(encoder.encode(letter.html)))]) : text;
  const files = letter.attachments.map((file) =>
    part(file.contentType, file.content, `Content-Disposition: attachment; filename*=utf-8''${escaped(file.filename)}\r\n`));
  const body = files.length ? several("mixed", [both, ...files]) : both;
  return `${head.map(([name, value]) => `${name}: ${value}\r\n`).join("")}${body}`;
}

/**
 * @param {string} kind
 * @param {string[]} parts
 */
function several(kind, parts) {
  const boundary = `remotelab-${crypto.randomUUID()}`;
  const inner = parts.map((one) => `--${boundary}\r\n${one}\r\n`).join("");
  return `Content-Type: multipart/${kind}; boundary="${boundary}"\r\n\r\n${inner}--${boundary}--\r\n`;
}

/**
 * @param {string} type
 * @param {string} content in base64
 * @param {string} more
 */
function part(type, content, more = "") {
  const lines = content.match(/.{1,76}/g) ?? [""];
  return `Content-Type: ${type}\r\n${more}Content-Transfer-Encoding: base64\r\n\r\n${lines.join("\r\n")}\r\n`;
}

/**
 * A name before an address, where some characters mean something.
 * @param {string} name
 */
function phrase(name) {
  return /[",;:<>@()[\]\\.]/.test(name) ? words(name) : word(name);
}

/** @param {string} text */
function word(text) {
  return /^[\x20-\x7e]*$/.test(text) && text.length < 60 && !text.includes("=?") ? text : words(text);
}

/**
 * Encoded words of at most 75 characters; a character is never cut in two.
 * @param {string} text
 */
function words(text) {
  /** @type {string[]} */
  const words = [];
  let rest = "";
  for (const character of text) {
    if (encoder.encode(rest + character).length > 42) {
      words.push(rest);
      rest = "";
    }
    rest += character;
  }
  return [...words, rest].map((one) => `=?utf-8?B?${base64(encoder.encode(one))}?=`).join("\r\n ");
}

/** @param {string} name */
function escaped(name) {
  return encodeURIComponent(name).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** @param {Uint8Array} bytes */
function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}
