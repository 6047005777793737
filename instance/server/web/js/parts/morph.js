// @ts-check
/** Changing an element into another without replacing what is the same, so that a press meets its button. */

/**
 * @param {Element} old is changed @param {Element} now is used up
 * @param {string} kept selector of elements whose content is the page's own
 */
export function morph(old, now, kept) {
  copyAttributes(old, now);
  if (old.matches(kept)) return;
  const [before, after] = [[...old.childNodes], [...now.childNodes]];
  after.forEach((node, i) => {
    const known = before[i];
    if (known instanceof Element && node instanceof Element && isLike(known, node)) morph(known, node, kept);
    else if (known instanceof Text && node instanceof Text) known.data = node.data;
    else if (known) known.replaceWith(node);
    else old.append(node);
  });
  for (const extra of before.slice(after.length)) extra.remove();
}

/** @param {Element} a @param {Element} b */
function isLike(a, b) {
  return a.nodeName === b.nodeName && a.classList[0] === b.classList[0];
}

/** @param {Element} old @param {Element} now */
function copyAttributes(old, now) {
  for (const { name } of [...old.attributes]) {
    // Whether something is unfolded is the reader's choice.
    if (!now.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
  }
  for (const { name, value } of now.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}
