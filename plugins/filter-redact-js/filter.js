// Blanks fields of the data before this subscription's sink sees them: personal data stays in the house.
// A pure filter: it has no clock, no chance and no network, so the same event always gets the same verdict.
import schema from './config.schema.json';
import { write } from 'busway:plugin/log@0.1.0';
import { blank, parsePointer } from './pointer.js';

let fields;
let mask;

export const filter = {
  describe() {
    return { summary: 'blanks fields of the data', configSchema: JSON.stringify(schema) };
  },

  // What is thrown is the error of the contract, so it is a string and not an Error.
  init(json) {
    const config = JSON.parse(json);
    if (!Array.isArray(config.fields) || config.fields.length === 0) {
      throw 'config: fields is missing; give a list of JSON Pointers, such as ["/user/email"]';
    }
    fields = config.fields.map(parsePointer);
    mask = config.with ?? '[redacted]';
  },

  evaluate(head, event) {
    let data;
    try {
      data = JSON.parse(new TextDecoder().decode(event.data()));
    } catch {
      write('warn', `${head.id} is not JSON, so its fields cannot be blanked`);
      return { tag: 'drop', val: 'the data is not JSON, so nothing in it can be blanked' };
    }
    const blanked = fields.reduce((count, path) => count + blank(data, path, mask), 0);
    if (blanked === 0) return { tag: 'pass' };
    return { tag: 'replace', val: new TextEncoder().encode(JSON.stringify(data)) };
  },
};
