// Drops the events whose data says `"test": true`.

interface Head { id: string; source: string; type: string; subject?: string }
interface Event {
  attribute(name: string): string | undefined;
  attributes(): [string, string][];
  data(): Uint8Array;
  at(pointer: string): string | undefined;
}
type Verdict = { tag: 'pass' } | { tag: 'drop'; val: string } | { tag: 'replace'; val: Uint8Array };

export const filter = {
  describe() {
    return { summary: 'drops what is marked as a test' };
  },

  // Called once per instance, before anything else. What is thrown (a string) refuses the subscription, in these words.
  init(_config: string): void {},

  evaluate(_head: Head, event: Event): Verdict {
    if (event.at('/test') === 'true') return { tag: 'drop', val: 'a test' };
    return { tag: 'pass' };
  },
};
