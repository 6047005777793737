// @ts-check
/** How a file that is still here is shown. */

/** @typedef {import('../state/files.js').LocalFile} LocalFile */

const UNITS = ['kB', 'MB', 'GB'];

/** Writes a size as the server does. @param {number} bytes */
export function sizeText(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const power = Math.min(UNITS.length, Math.floor(Math.log10(bytes) / 3));
  return `${(Math.floor(bytes / 1000 ** power * 10) / 10).toFixed(1)} ${UNITS[power - 1]}`;
}

/** What stands for its type: `PDF`. @param {LocalFile} file */
export function kind({ name, type }) {
  const end = name.includes('.') ? name.split('.').at(-1) ?? '' : '';
  return ((end && end.length <= 5 ? end : type.split('/').at(-1)) || 'file').toUpperCase();
}

/** A line with its name, type and size. @param {LocalFile} file */
export function fileLine(file) {
  const line = document.createElement('li');
  const name = document.createElement('span');
  name.className = 'file-name';
  name.textContent = file.name;
  name.title = file.name;
  const detail = document.createElement('span');
  detail.className = 'file-detail';
  detail.textContent = `${kind(file)} · ${sizeText(file.size)}`;
  line.append(name, detail);
  return line;
}
