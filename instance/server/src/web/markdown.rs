//! Text of a message to HTML that is safe to insert: parsed, highlighted, then cut down to an allow-list.

mod clean;
mod highlight;
mod tree;

use comrak::{Arena, Options, options::Plugins};
use remotelab_protocol::reply::visible_text;

/// Longer texts are shown as they are, in bytes.
pub const LONGEST: usize = 512 * 1024;

/// Turns a message into HTML. Parts marked private are gone; raw HTML is shown as text.
///
/// Costs about a millisecond per 10 KB, more with code: call it off the async threads and keep the result.
#[must_use]
pub fn render(text: &str) -> String {
    rendered(text, Some(&highlight::Highlighter::default()))
}

/// Turns a text that is still being written into HTML, as [`render`] does but without colours for code:
/// they cost most, and it will look otherwise in a moment.
#[must_use]
pub fn render_draft(text: &str) -> String {
    rendered(text, None)
}

fn rendered(text: &str, highlighter: Option<&highlight::Highlighter>) -> String {
    let text = visible_text(text);
    if text.len() > LONGEST {
        return plain(&text);
    }
    let text = tree::with_checklists(&text);
    let arena = Arena::new();
    let options = options();
    let root = comrak::parse_document(&arena, &text, &options);
    if !tree::adapt(&arena, root) {
        return plain(&text);
    }
    let mut plugins = Plugins::default();
    plugins.render.codefence_syntax_highlighter = highlighter.map(|highlighter| highlighter as _);
    let mut html = String::with_capacity(text.len() * 2);
    match comrak::format_html_with_plugins(root, &options, &mut html, &plugins) {
        Ok(()) => framed(&clean::clean(&html)),
        Err(_) => plain(&text),
    }
}

/// Shows a text as it is, scrollable.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 64);
    html.push_str("<pre tabindex=\"0\"><code>");
    escape(text, &mut html);
    html.push_str("</code></pre>");
    html
}

/// Escapes a text for element content and quoted attributes.
fn escape(text: &str, html: &mut String) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // Left by terminals and of no meaning in a page.
            c if c.is_control() && !matches!(c, '\n' | '\t') => {}
            c => html.push(c),
        }
    }
}

/// Puts tables into a box of their own, so that a wide one scrolls and not the page, and names each
/// checkbox by the text beside it. In clean HTML these tags are only ever ours.
fn framed(html: &str) -> String {
    let html = html
        .replace("<table>", "<div class=\"table\" tabindex=\"0\"><table>")
        .replace("</table>", "</table></div>");
    let mut parts = html.split("<input ");
    let mut labelled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = ["</li>", "</p>", "\n"].iter().filter_map(|end| part.find(end)).min();
        let (line, rest) = part.split_at(end.unwrap_or(part.len()));
        labelled.push_str("<label><input ");
        labelled.push_str(line);
        labelled.push_str("</label>");
        labelled.push_str(rest);
    }
    labelled
}

fn options() -> Options<'static> {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.tasklist = true;
    options.extension.strikethrough = true;
    options.extension.autolink = true;
    options.extension.cjk_friendly_emphasis = true;
    options.render.escape = true;
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn renders_what_answers_are_made_of() {
        let cases = [
            ("# Title", "<h3>Title</h3>\n"),
            ("###### deep\n\n# top\n\n#### skips", "<h3>deep</h3>\n<h3>top</h3>\n<h4>skips</h4>\n"),
            ("a ~~b~~ **c**", "<p>a <del>b</del> <strong>c</strong></p>\n"),
            (
                "[x] one\n[ ] two",
                "<ul>\n<li><label><input type=\"checkbox\" checked=\"\" disabled=\"\"> one</label></li>\n\
                 <li><label><input type=\"checkbox\" disabled=\"\"> two</label></li>\n</ul>\n",
            ),
            (
                "```nosuch\na < b\n```",
                "<pre data-lang=\"nosuch\" tabindex=\"0\"><code>a &lt; b\n</code></pre>\n",
            ),
            (
                "|a|\n|-|\n|b|",
                "<div class=\"table\" tabindex=\"0\"><table>\n<thead>\n<tr>\n<th>a</th>\n</tr>\n</thead>\n\
                 <tbody>\n<tr>\n<td>b</td>\n</tr>\n</tbody>\n</table></div>\n",
            ),
            ("see <private>secret</private>this", "<p>see this</p>\n"),
            ("a<private>b <private>c</private> d</private>", "<p>a d&lt;/private&gt;</p>\n"),
        ];
        for (text, html) in cases {
            assert_eq!(render(text), html, "{text}");
        }
    }

    #[test]
    fn highlights_code_with_classes() {
        assert_eq!(
            render("```rust\nlet x = 1; // one\n```"),
            "<pre data-lang=\"rust\" tabindex=\"0\"><code><span class=\"hl-k\">let</span> x \
             <span class=\"hl-k\">=</span> <span class=\"hl-n\">1</span>; \
             <span class=\"hl-c\">// one\n</span></code></pre>\n"
        );
    }

    #[test]
    fn links_lead_only_where_they_may() {
        let out = " target=\"_blank\" rel=\"noopener noreferrer nofollow\"";
        let cases = [
            ("[a](https://x.example/y)", format!("<p><a href=\"https://x.example/y\"{out}>a</a></p>\n")),
            (
                "[www.bank.example](https://x.example/y)",
                format!("<p><a href=\"https://x.example/y\"{out}>www.bank.example (x.example)</a></p>\n"),
            ),
            ("[f](/api/media/a.txt)", format!("<p><a href=\"api/media/a.txt\"{out}>f</a></p>\n")),
            (
                "![logo](https://x.example/p.png)",
                format!("<p><a href=\"https://x.example/p.png\"{out}>logo (x.example)</a></p>\n"),
            ),
            ("[f](/etc/passwd)", "<p>f</p>\n".to_owned()),
            ("[f](javascript:alert(1))", "<p>f</p>\n".to_owned()),
            ("[f](../../logout)", "<p>f</p>\n".to_owned()),
            ("[f](//evil.example/x)", "<p>f</p>\n".to_owned()),
        ];
        for (text, html) in cases {
            assert_eq!(render(text), html, "{text}");
        }
    }

    #[test]
    fn nothing_active_survives() {
        let corpus = [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "text <img src=x onerror=\"alert(1)\"> text",
            "<svg onload=alert(1)><a xlink:href=\"javascript:alert(1)\">",
            "<style>body{display:none}</style>",
            "<iframe src=\"https://evil.example\"></iframe>",
            "<p style=\"position:fixed\">x</p>",
            "<base href=\"https://evil.example/\">",
            "<form action=\"https://evil.example\"><input name=a></form>",
            "[a](javascript:alert`1`)",
            "[a](JaVaScRiPt:alert(1))",
            "[a](data:text/html;base64,PHNjcmlwdD4=)",
            "[a](vbscript:x)",
            "[a](&#106;avascript:alert(1))",
            "[a](java\tscript:alert(1))",
            "[a](https://x\" onmouseover=\"alert(1))",
            "![a](javascript:alert(1))",
            "![a](x\"onerror=\"alert(1))",
            "<javascript:alert(1)>",
            "[a]: javascript:alert(1)\n\n[a]",
            "```\"><script>alert(1)</script>\nx\n```",
            "```rust onload=alert(1)\nx\n```",
            "`<script>alert(1)</script>`",
            "<private><script>alert(1)</script></private>",
            "<hide>a<private>b</hide><img src=x onerror=alert(1)>",
            "<math><mtext></p><style><img src onerror=alert(1)>",
            "<!--><img src=x onerror=alert(1)>-->",
            "<a href=\"https://x\" id=\"rl-page\" class=\"composer\">x</a>",
        ];
        for text in corpus {
            assert_inert(&render(text));
        }
    }

    #[test]
    fn long_and_deep_texts_are_shown_plainly() {
        for text in ["> ".repeat(5000) + "x", "x".repeat(LONGEST + 1)] {
            let html = render(&text);
            assert!(html.starts_with("<pre tabindex=\"0\"><code>"));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn never_panics_and_stays_inert(
            text in "(<[a-z]{1,6} on[a-z]{3}=|</?private>|</?script>|```(rust|js)?|\\[|\\]|\\(|\\)|!|javascript:|https?://|\\||-|\n|>|\"|'|&|#|\\* |x|é|中){0,40}"
        ) {
            assert_inert(&render(&text));
        }
    }

    /// Reads the tags of the HTML and fails on anything outside the allow-list.
    fn assert_inert(html: &str) {
        const TAGS: &[&str] = &[
            "p",
            "h3",
            "h4",
            "h5",
            "h6",
            "ul",
            "ol",
            "li",
            "blockquote",
            "pre",
            "code",
            "em",
            "strong",
            "del",
            "a",
            "div",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "hr",
            "br",
            "span",
            "input",
            "label",
        ];
        const ATTRIBUTES: &[&str] = &[
            "href",
            "title",
            "data-lang",
            "class",
            "align",
            "start",
            "tabindex",
            "target",
            "rel",
            "type",
            "checked",
            "disabled",
        ];
        for tag in html.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("every tag is closed");
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
            assert!(TAGS.contains(&name), "<{tag}> in {html}");
            let parts: Vec<_> = tag.split("=\"").collect();
            for part in &parts[..parts.len() - 1] {
                let attribute = part.rsplit([' ', '"']).next().unwrap_or_default();
                assert!(ATTRIBUTES.contains(&attribute), "{attribute} in {html}");
            }
            if let Some((_, href)) = tag.split_once("href=\"") {
                let allowed = ["https:", "http:", "mailto:", "tel:", "api/", "s/", "share/"];
                assert!(allowed.iter().any(|start| href.starts_with(start)), "{href}");
            }
        }
    }
}
