// @ts-check
/** Copying code. */
import { announce, words } from '../state/page.js';

/** Puts a button to every block of code that has none. @param {ParentNode} root */
export function addCopyButtons(root) {
  for (const pre of root.querySelectorAll('.text pre')) {
    if (pre.parentElement?.classList.contains('code-box')) continue;
    const box = document.createElement('div');
    box.className = 'code-box';
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'copy';
    button.textContent = words.client.copy ?? '';
    button.addEventListener('click', () => copy(pre.textContent ?? '', button));
    pre.replaceWith(box);
    box.append(pre, button);
  }
}

/** @param {string} text @param {HTMLButtonElement} button */
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https there is no clipboard for scripts; the selection still is.
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  button.textContent = words.client.copied ?? '';
  announce(words.client.copied ?? '');
  setTimeout(() => { button.textContent = words.client.copy ?? ''; }, 1600);
}
