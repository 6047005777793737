// The Email Worker: mail in goes to the bridge, signed; letters out come by an endpoint of ours.

import { receive } from "./inbound.js";
import { send } from "./outbound.js";

const VERSION = "2.0.0";

export default {
  /**
   * A mail has arrived.
   * @param {ForwardableEmailMessage} message
   * @param {Env} env
   */
  async email(message, env) {
    await receive(message, env);
  },

  /**
   * @param {Request} request
   * @param {Env} env
   */
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/healthz" && request.method === "GET") return Response.json(health(env));
    if (pathname === "/api/send-email" && request.method === "POST") return send(request, env);
    return Response.json({ error: "Not found" }, { status: 404 });
  },
};

/**
 * Which bindings are set, and no value of any.
 * @param {Env} env
 */
function health(env) {
  const names = ["EMAIL", "MAILBOX_FROM", "MAILBOX_BRIDGE_URL", "MAILBOX_SIGNING_KEY", "MAILBOX_BRIDGE_TOKEN",
    "OUTBOUND_API_TOKEN", "FALLBACK_FORWARD", "SENT"];
  const bindings = Object.fromEntries(names.map((name) => [name, Boolean(/** @type {any} */ (env)[name])]));
  return { ok: true, service: "remotelab-email-worker", version: VERSION, bindings,
    from: env.MAILBOX_FROM ?? "", senderPolicy: "exact_or_same_domain_alias", bridgeUrlConfigured: Boolean(env.MAILBOX_BRIDGE_URL) };
}
