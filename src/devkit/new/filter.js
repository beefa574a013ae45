// Drops the events whose data says `"test": true`.

export const filter = {
  describe() {
    return { summary: 'drops what is marked as a test' };
  },

  // Called once per instance, before anything else. What is thrown (a string) refuses the subscription, in these words.
  init(config) {},

  evaluate(head, event) {
    if (event.at('/test') === 'true') return { tag: 'drop', val: 'a test' };
    return { tag: 'pass' };
  },
};
