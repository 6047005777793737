// What the Worker is given. The platform's own types are in `@cloudflare/workers-types`.

interface Env {
  EMAIL: { send(message: unknown): Promise<unknown> };
  MAILBOX_FROM?: string;
  MAILBOX_BRIDGE_URL?: string;
  MAILBOX_SIGNING_KEY?: string;
  MAILBOX_BRIDGE_TOKEN?: string;
  OUTBOUND_API_TOKEN?: string;
  FALLBACK_FORWARD?: string;
  SENT?: { get(key: string): Promise<string | null>; put(key: string, value: string, options?: object): Promise<void> };
}

interface ForwardableEmailMessage {
  readonly from: string;
  readonly to: string;
  readonly raw: ReadableStream;
  readonly rawSize: number;
  setReject(reason: string): void;
  forward(to: string): Promise<void>;
}

interface Letter {
  key: string; from: string; fromName: string; to: string[]; replyTo: string; subject: string; text: string; html: string;
  inReplyTo: string; references: string; messageId: string; headers: [string, string][];
  attachments: { filename: string; contentType: string; content: string }[];
}

declare module "cloudflare:email" {
  export class EmailMessage {
    constructor(from: string, to: string, raw: string);
  }
}
