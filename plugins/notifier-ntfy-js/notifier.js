// Sends events as push notifications through ntfy (https://ntfy.sh, or one's own server of it).
// `fetch` is the way out; it reaches what the operator granted under `http`, and nothing else.

import schema from './config.schema.json';

let config;

export const notifier = {
  describe() {
    return { summary: 'sends events as push notifications through ntfy', configSchema: JSON.stringify(schema) };
  },

  // What is thrown is the error of the contract: a string here, a failure in `notify`.
  init(json) {
    config = { title: '{type}', text: '{subject}', priority: 3, ...JSON.parse(json) };
    if (!/^https?:\/\//.test(config.url ?? '')) throw 'config: url is missing; give the topic, such as https://ntfy.sh/my-alerts';
  },

  async notify(_head, event, delivery) {
    const answer = await post({
      method: 'POST',
      headers: {
        'content-type': 'text/plain; charset=utf-8',
        title: plain(fill(config.title, event)),
        priority: String(config.priority),
        'x-delivery': delivery.id,
      },
      body: fill(config.text, event),
    });
    if (answer.ok) return;
    const words = (await answer.text()).slice(0, 200);
    const again = answer.status === 429 || answer.status >= 500;
    const seconds = Number(answer.headers.get('retry-after'));
    throw failure(`ntfy answered ${answer.status}: ${words}`, again, again && seconds > 0 ? seconds : undefined);
  },
};

async function post(request) {
  try {
    return await fetch(config.url, request);
  } catch (error) {
    throw failure(`no answer from ${config.url}: ${error.message}`, true);
  }
}

function failure(reason, retry, seconds) {
  return { reason, retry, retryAfterMs: seconds === undefined ? undefined : BigInt(Math.ceil(seconds * 1000)) };
}

// What an event lacks leaves its hole empty.
function fill(template, event) {
  return template.replaceAll(/\{([^{}]+)\}/g, (_, name) => {
    if (!name.startsWith('/')) return event.attribute(name) ?? '';
    const value = JSON.parse(event.at(name) ?? '""');
    return typeof value === 'string' ? value : JSON.stringify(value);
  });
}

// A header takes no line ends, and only ASCII as itself: ntfy reads the rest in this form (RFC 2047).
function plain(text) {
  const line = text.replaceAll(/[\r\n]+/g, ' ');
  if (/^[ -~]*$/.test(line)) return line;
  const bytes = new TextEncoder().encode(line);
  return `=?UTF-8?B?${btoa(String.fromCharCode(...bytes))}?=`;
}
