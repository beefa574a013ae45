// Posts `{"text": "TYPE SUBJECT"}` to the configured URL.

const schema = { type: 'object', required: ['url'], properties: { url: { type: 'string' } } };
let url;

export const notifier = {
  describe() {
    return { summary: 'posts events to a URL', configSchema: JSON.stringify(schema) };
  },

  // Called once per instance, before anything else. What is thrown (a string) refuses the subscription, in these words.
  init(config) {
    ({ url } = JSON.parse(config));
    if (!/^https?:\/\//.test(url ?? '')) throw 'config: url must begin with https:// or http://';
  },

  // What is thrown is a failure: why, whether another try can help, and after how long.
  async notify(head, event, delivery) {
    const answer = await post(JSON.stringify({ text: `${head.type} ${head.subject ?? ''}` }));
    if (answer.ok) return;
    throw { reason: `the sink answered ${answer.status}`, retry: answer.status === 429 || answer.status >= 500 };
  },
};

async function post(body) {
  try {
    return await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  } catch (error) {
    throw { reason: `no answer: ${error.message}`, retry: true };
  }
}
