// Posts `{"text": "TYPE SUBJECT"}` to the configured URL.

interface Head { id: string; source: string; type: string; subject?: string }
interface Event {
  attribute(name: string): string | undefined;
  attributes(): [string, string][];
  data(): Uint8Array;
  at(pointer: string): string | undefined;
}
interface Delivery { subscription: string; attempt: number; id: string }
interface Failure { reason: string; retry: boolean; retryAfterMs?: bigint }

const schema = { type: 'object', required: ['url'], properties: { url: { type: 'string' } } };
let url: string;

export const notifier = {
  describe() {
    return { summary: 'posts events to a URL', configSchema: JSON.stringify(schema) };
  },

  // Called once per instance, before anything else. What is thrown (a string) refuses the subscription, in these words.
  init(config: string): void {
    ({ url } = JSON.parse(config));
    if (!/^https?:\/\//.test(url ?? '')) throw 'config: url must begin with https:// or http://';
  },

  // What is thrown is a failure: why, whether another try can help, and after how long.
  async notify(head: Head, _event: Event, _delivery: Delivery): Promise<void> {
    const answer = await post(JSON.stringify({ text: `${head.type} ${head.subject ?? ''}` }));
    if (answer.ok) return;
    throw failure(`the sink answered ${answer.status}`, answer.status === 429 || answer.status >= 500);
  },
};

async function post(body: string): Promise<Response> {
  try {
    return await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  } catch (error) {
    throw failure(`no answer: ${(error as Error).message}`, true);
  }
}

function failure(reason: string, retry: boolean): Failure {
  return { reason, retry };
}
