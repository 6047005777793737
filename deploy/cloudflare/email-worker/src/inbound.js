// Mail in. What the bridge says decides: taken, refused for good, or to be tried again by the sending server.

import { proof, sha256 } from "./sign.js";

/** Largest message that the bridge takes (bytes). */
const MAX_MESSAGE = 26 * 1024 * 1024;

/** How long the bridge may take before the mail goes elsewhere or back to its sender (milliseconds). */
const PATIENCE = 25_000;

/**
 * @param {ForwardableEmailMessage} message
 * @param {Env} env
 */
export async function receive(message, env) {
  if (message.rawSize > MAX_MESSAGE) return message.setReject("552 5.3.4 the message is too large");
  const bridge = env.MAILBOX_BRIDGE_URL;
  if (!bridge) throw new Error("MAILBOX_BRIDGE_URL is not set");
  const [from, to] = [encodeURIComponent(message.from), encodeURIComponent(message.to)];

  // A signature needs the digest before the first byte; the runtime has room for the largest message.
  const raw = await new Response(message.raw).arrayBuffer();
  const delivery = crypto.randomUUID();
  /** @type {Record<string, string>} */
  const headers = { "Content-Type": "message/rfc822", Accept: "application/json", "X-Envelope-From": from, "X-Envelope-To": to };
  if (env.MAILBOX_SIGNING_KEY) {
    const keys = env.MAILBOX_SIGNING_KEY.split(",").map((key) => key.trim());
    Object.assign(headers, await proof(keys, { from, to, digest: await sha256(raw), delivery }));
  } else if (env.MAILBOX_BRIDGE_TOKEN) {
    headers["Authorization"] = `Bearer ${env.MAILBOX_BRIDGE_TOKEN}`;
  }

  let answer;
  try {
    answer = await fetch(bridge, { method: "POST", headers, body: raw, signal: AbortSignal.timeout(PATIENCE) });
  } catch (error) {
    return elsewhere(message, env, delivery, "the bridge does not answer");
  }
  const said = /** @type {any} */ (await answer.json().catch(() => ({})));
  if (answer.ok) return;
  if (answer.status === 403 && typeof said.smtp === "string") return message.setReject(oneLine(said.smtp));
  if (answer.status === 413) return message.setReject("552 5.3.4 the message is too large");
  const error = `the bridge answers ${answer.status} ${oneLine(String(said.error ?? ""))}`;
  if (answer.status === 401 || answer.status === 403) {
    // Somebody has to look at the keys; the mail comes again meanwhile.
    console.error(`delivery ${delivery}: ${error}`);
    throw new Error(error);
  }
  return elsewhere(message, env, delivery, error);
}

/**
 * Hands a mail to the address for such times, or has its sender try again.
 * @param {ForwardableEmailMessage} message
 * @param {Env} env
 * @param {string} delivery
 * @param {string} why
 */
async function elsewhere(message, env, delivery, why) {
  console.warn(`delivery ${delivery}: ${why}`);
  if (!env.FALLBACK_FORWARD) throw new Error(why);
  await message.forward(env.FALLBACK_FORWARD);
}

/** @param {string} text */
function oneLine(text) {
  return text.replace(/[\x00-\x1f\x7f]+/g, " ").slice(0, 200);
}
