// Letters out: checked, built and handed to the platform.

import { EmailMessage } from "cloudflare:email";
import { build } from "./mime.js";
import { isSame } from "./sign.js";

const MAX_RECIPIENTS = 50;

/** What the platform takes of a whole message (bytes). */
const MAX_BYTES = 5 * 1024 * 1024;

/** How long a letter's key is kept (seconds). */
const KEY_LIFE = 24 * 3600;

const ADDRESS = /^[^\s@<>"(),:;\\]{1,64}@[^\s@<>"(),:;\\]{1,253}$/;

/** Fields that may be set beside those of the letter itself. */
const ALLOWED = /^(auto-submitted|precedence|x-[a-z0-9-]{1,60})$/i;

/**
 * @param {Request} request
 * @param {Env} env
 */
export async function send(request, env) {
  if (!env.OUTBOUND_API_TOKEN) return refuse(503, "OUTBOUND_API_TOKEN is not set");
  const presented = (request.headers.get("Authorization") ?? "").replace(/^Bearer\s+/i, "");
  if (!(await isSame(env.OUTBOUND_API_TOKEN, presented))) return refuse(401, "Unauthorized");
  const body = await request.json().catch(() => undefined);
  if (typeof body !== "object" || body === null) return refuse(400, "The body is no JSON object");
  const letter = read(/** @type {any} */ (body), env);
  if (typeof letter === "string") return refuse(400, letter);

  const sent = env.SENT && letter.key ? await env.SENT.get(letter.key) : null;
  if (sent) return Response.json({ ...JSON.parse(sent), duplicate: true });
  const done = { id: letter.messageId, messageId: letter.messageId, message: "sent", provider: "cloudflare_send_email",
    from: letter.from, to: letter.to };
  for (const to of letter.to) {
    // Each recipient has a key of its own, so that one that is refused costs no other a second copy.
    const mark = letter.key && `${letter.key}:${to}`;
    if (env.SENT && mark && (await env.SENT.get(mark))) continue;
    const raw = build(letter);
    if (raw.length > MAX_BYTES) return refuse(413, "The letter is too large");
    try {
      await env.EMAIL.send(new EmailMessage(letter.from, to, raw));
    } catch (error) {
      const { name, message } = /** @type {Error} */ (error);
      return Response.json({ error: "Failed to send email", details: { name, message } }, { status: 502 });
    }
    if (env.SENT && mark) await env.SENT.put(mark, "1", { expirationTtl: KEY_LIFE });
  }
  if (env.SENT && letter.key) await env.SENT.put(letter.key, JSON.stringify(done), { expirationTtl: KEY_LIFE });
  return Response.json(done);
}

/**
 * Reads a letter; a sentence says what is wrong with it.
 * @param {any} body
 * @param {Env} env
 * @returns {Letter | string}
 */
function read(body, env) {
  const text = (/** @type {unknown} */ value) => (typeof value === "string" ? value : "");
  const from = text(body.from) || env.MAILBOX_FROM || "";
  const own = env.MAILBOX_FROM ?? "";
  const domain = (/** @type {string} */ address) => address.slice(address.lastIndexOf("@") + 1).toLowerCase();
  if (!ADDRESS.test(from)) return "No sender";
  if (from.toLowerCase() !== own.toLowerCase() && domain(from) !== domain(own)) return "The sender is not of this domain";
  const to = (Array.isArray(body.to) ? body.to : [body.to]).filter(Boolean);
  if (to.length === 0) return "No recipient";
  if (to.length > MAX_RECIPIENTS || !to.every((one) => typeof one === "string" && ADDRESS.test(one))) return "Bad recipients";
  if (!text(body.text)) return "No text";
  if (!text(body.subject) && !text(body.inReplyTo)) return "No subject";
  const replyTo = text(body.replyTo);
  if (replyTo && !ADDRESS.test(replyTo)) return "Bad replyTo";
  const attachments = Array.isArray(body.attachments) ? body.attachments : [];
  const headers = Object.entries(body.headers ?? {}).map(([name, value]) => /** @type {[string, string]} */ ([name, String(value)]));
  if (!headers.every(([name]) => ALLOWED.test(name))) return "A header that may not be set";
  const lines = [text(body.subject), text(body.fromName), text(body.inReplyTo), text(body.references), ...headers.map(([, value]) => value),
    ...attachments.flatMap((/** @type {any} */ one) => [text(one?.filename), text(one?.contentType)])];
  if (lines.some((line) => /[\x00-\x08\x0a-\x1f\x7f]/.test(line))) return "A control character in a header";
  return {
    key: text(body.idempotencyKey).slice(0, 200), from, fromName: text(body.fromName), to, replyTo, subject: text(body.subject),
    text: text(body.text), html: text(body.html), inReplyTo: text(body.inReplyTo), references: text(body.references) || text(body.inReplyTo),
    headers, messageId: `<remotelab-${crypto.randomUUID()}@${domain(from)}>`,
    attachments: attachments.map((/** @type {any} */ one) => ({ filename: text(one?.filename) || "file",
      contentType: /^[\w.+-]+\/[\w.+-]+$/.test(text(one?.contentType)) ? one.contentType : "application/octet-stream",
      content: text(one?.contentBase64).replace(/[^A-Za-z0-9+/=]/g, "") })),
  };
}

/**
 * @param {number} status
 * @param {string} error
 */
function refuse(status, error) {
  return Response.json({ error }, { status });
}
