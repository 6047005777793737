//! The pages that stand in for an instance that sleeps, in the language of whoever looks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use sha2::{Digest, Sha256};

/// A page, and what it may do.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) html: String,
    pub(crate) policy: String,
    /// Seconds until it makes sense to come again.
    pub(crate) after: u32,
}

/// A language that pages are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tongue {
    English,
    Chinese,
}

impl Tongue {
    /// The first that the browser asks for and that there is.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let wish = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let known = wish.split(',').find_map(|part| {
            let language = part.trim().get(..2)?;
            match language.to_ascii_lowercase().as_str() {
                "zh" => Some(Self::Chinese),
                "en" => Some(Self::English),
                _ => None,
            }
        });
        known.unwrap_or(Self::English)
    }

    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }
}

/// Looks whether the instance is there, and opens the same address again then. The address itself, which may hold
/// a token, is not in it.
const SCRIPT: &str = r#"const ready = document.body.dataset.ready;
let patience = 60;
async function look() {
  let state = "";
  try {
    state = (await (await fetch(ready, { cache: "no-store" })).json()).state;
  } catch {}
  if (state === "ready") return location.reload();
  if (--patience < 0 || state === "down" || state === "asleep") {
    document.body.classList.add("late");
    return;
  }
  setTimeout(look, 500);
}
setTimeout(look, 300);"#;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1.05rem/1.6 system-ui,sans-serif;margin:0;min-height:100vh;display:grid;place-content:center;\
justify-items:center;text-align:center;padding:1.5rem;box-sizing:border-box;\
background:light-dark(#fbfbfa,#16181b);color:light-dark(#1d2024,#e7e8ea)}\
main{max-width:28rem;text-wrap:balance}h1{font-size:1.35rem;font-weight:600;margin:1.25rem 0 .35rem}\
p{margin:0;color:light-dark(#565c64,#a5abb3)}\
.dots{display:flex;gap:.5rem;justify-content:center}\
.dots i{width:.7rem;height:.7rem;border-radius:50%;background:light-dark(#2f6fde,#7aa7f7);\
animation:b 1.2s infinite ease-in-out}.dots i:nth-child(2){animation-delay:.15s}\
.dots i:nth-child(3){animation-delay:.3s}\
@keyframes b{0%,80%,100%{opacity:.25;transform:scale(.8)}40%{opacity:1;transform:none}}\
@media(prefers-reduced-motion:reduce){.dots i{animation:none;opacity:.7}}\
.slow,.late .quick,.late .dots{display:none}.late .slow{display:block}\
a{color:light-dark(#1f5bc4,#8fb6ff);display:inline-block;padding:.75rem 1rem;margin-top:.5rem}\
a:focus-visible{outline:2px solid currentColor;border-radius:.4rem}";

/// The page that waits for an instance below `prefix`.
pub(crate) fn waiting(prefix: &str, tongue: Tongue) -> Page {
    let (title, quick, slow, again) = match tongue {
        Tongue::English => (
            "Waking up …",
            "This takes a moment. The page opens by itself.",
            "It takes longer than it should.",
            "Try again",
        ),
        Tongue::Chinese => ("正在唤醒……", "请稍候，页面会自动打开。", "唤醒时间比预期的长。", "重试"),
    };
    let body = format!(
        "<body data-ready=\"{prefix}/_gateway/ready\"><main role=\"status\">\
         <div class=\"dots\" aria-hidden=\"true\"><i></i><i></i><i></i></div>\
         <h1>{title}</h1><p class=\"quick\">{quick}</p>\
         <p class=\"slow\">{slow}<br><a href=\"\">{again}</a></p></main>\
         <script>{SCRIPT}</script></body>"
    );
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src '{}'; connect-src 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
        hash(SCRIPT)
    );
    let head = "<noscript><meta http-equiv=\"refresh\" content=\"2\"></noscript>";
    Page { html: page(tongue, title, head, &body), policy, after: 2 }
}

/// The page for somebody for whom nobody is woken.
pub(crate) fn asleep(tongue: Tongue) -> Page {
    let (title, text) = match tongue {
        Tongue::English => {
            ("This place is asleep", "It wakes up when you open it with the link you were given.")
        }
        Tongue::Chinese => ("这里正在休眠", "请使用您收到的链接打开，它会自动唤醒。"),
    };
    let body = format!("<body><main><h1>{title}</h1><p>{text}</p></main></body>");
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    Page { html: page(tongue, title, "", &body), policy: policy.to_owned(), after: 60 }
}

fn page(tongue: Tongue, title: &str, head: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><meta name=\"referrer\" content=\"no-referrer\">{head}\
         <title>{title}</title><style>{STYLE}</style></head>{body}</html>",
        tongue.code()
    )
}

/// What a policy allows one script by.
pub(crate) fn hash(script: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(script)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browsers_first_language_is_spoken() {
        let of = |wish: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, wish.parse().unwrap());
            Tongue::of(&headers)
        };
        assert_eq!(of("zh-CN,zh;q=0.9,en;q=0.8"), Tongue::Chinese);
        assert_eq!(of("de, en;q=0.9, zh;q=0.1"), Tongue::English);
        assert_eq!(of("fr"), Tongue::English);
        assert_eq!(Tongue::of(&HeaderMap::new()), Tongue::English);
    }

    #[test]
    fn only_the_pages_own_script_runs() {
        let page = waiting("/trial1", Tongue::English);
        let script = page.html.split("<script>").nth(1).unwrap().split("</script>").next().unwrap();
        assert!(page.policy.contains(&hash(script)));
        assert!(page.html.contains("data-ready=\"/trial1/_gateway/ready\""));
    }
}
