// @ts-check
/** Signs the installed app in: it has cookies of its own, and starts here with a hand-off. */
import { request } from './net/http.js';

const data = JSON.parse(document.getElementById('page-data')?.textContent ?? '{}');
const token = data.mobileInstall?.handoffToken;

if (token && isApp()) {
  request('POST', 'api/install/handoff/redeem', { token }).then(({ status }) => {
    // Used before: the app is signed in already, or asks for a login.
    if (status) location.replace(new URL(status === 200 ? './?skipInstall=1' : './', document.baseURI));
  });
}

function isApp() {
  return matchMedia('(display-mode: standalone)').matches || Reflect.get(navigator, 'standalone') === true;
}
