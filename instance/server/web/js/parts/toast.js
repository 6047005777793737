// @ts-check
/** A short word about what was just done, with a way back. */
import { announce } from '../state/page.js';

const SHOWN = 8000;
/** @type {number | undefined} */
let timer;

/** @param {string} text @param {{ label: string, run: () => void }} [action] */
export function toast(text, action) {
  const place = document.getElementById('toast');
  if (!place) return;
  const line = document.createElement('span');
  line.textContent = text;
  place.replaceChildren(line);
  if (action) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = action.label;
    button.addEventListener('click', () => { place.hidden = true; action.run(); });
    place.append(button);
  }
  place.hidden = false;
  announce(text);
  clearTimeout(timer);
  timer = setTimeout(() => { place.hidden = true; }, SHOWN);
}
