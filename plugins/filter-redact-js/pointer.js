// JSON Pointers (RFC 6901), with * for every element or member.

// The pointer's steps.
export function parsePointer(text) {
  if (typeof text !== 'string' || !text.startsWith('/')) throw `config: ${JSON.stringify(text)} in fields is no JSON Pointer: it begins with /`;
  return text.slice(1).split('/').map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

// Puts the mask wherever the path leads; returns to how many places it led.
export function blank(value, [step, ...rest], mask) {
  if (value === null || typeof value !== 'object') return 0;
  const names = step === '*' ? Object.keys(value) : Object.hasOwn(value, step) ? [step] : [];
  return names.reduce((count, name) => {
    if (rest.length > 0) return count + blank(value[name], rest, mask);
    value[name] = mask;
    return count + 1;
  }, 0);
}
