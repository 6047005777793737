//! The owner's page: which instances there are, how each is, when it was used last, and the way there. No tokens. Pure.

use std::fmt::Write;

use crate::health::State;

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: State,
    /// How many seconds ago it was used last, if it was since the gateway's start.
    pub used: Option<u64>,
    /// What is open there.
    pub open: u32,
    /// Addresses that lead there.
    pub links: Vec<String>,
}

/// Words in one language.
struct Words {
    code: &'static str,
    title: &'static str,
    back: &'static str,
    refresh: &'static str,
    states: [&'static str; 5],
    never: &'static str,
    now: &'static str,
    used: fn(u64, Unit) -> String,
    open: fn(u32) -> String,
    problems: &'static str,
}

#[derive(Clone, Copy)]
enum Unit {
    Minutes,
    Hours,
    Days,
}

const ENGLISH: Words = Words {
    code: "en",
    title: "Instances",
    back: "Back",
    refresh: "Refresh",
    states: ["ready", "starting", "asleep", "down", "wrong instance"],
    never: "not used lately",
    now: "used just now",
    used: |count, unit| {
        let unit = match unit {
            Unit::Minutes => "min",
            Unit::Hours => "h",
            Unit::Days => "d",
        };
        format!("used {count} {unit} ago")
    },
    open: |count| format!("{count} open"),
    problems: "Records that need a look",
};

const CHINESE: Words = Words {
    code: "zh-CN",
    title: "实例",
    back: "返回",
    refresh: "刷新",
    states: ["就绪", "启动中", "休眠", "无响应", "实例不符"],
    never: "最近未使用",
    now: "刚刚使用过",
    used: |count, unit| {
        let unit = match unit {
            Unit::Minutes => "分钟",
            Unit::Hours => "小时",
            Unit::Days => "天",
        };
        format!("{count} {unit}前使用过")
    },
    open: |count| format!("{count} 个打开的连接"),
    problems: "需要检查的记录",
};

const STYLE: &str = "\
:root{color-scheme:light dark}*{box-sizing:border-box}\
body{font:1rem/1.5 system-ui,sans-serif;margin:0;background:light-dark(#fbfbfa,#16181b);\
color:light-dark(#1d2024,#e7e8ea)}\
main{max-width:44rem;margin:0 auto;padding:1.25rem 1rem 3rem}\
nav{display:flex;gap:.25rem;justify-content:space-between;margin:0 -.75rem}\
h1{font-size:1.5rem;margin:.5rem 0 1rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}\
ul{list-style:none;margin:0;padding:0}\
li.i{padding:.85rem 1rem;border:1px solid light-dark(#e2e3e0,#2b2f35);border-radius:.75rem;margin-bottom:.6rem;\
background:light-dark(#fff,#1d2024)}\
.t{display:flex;flex-wrap:wrap;gap:.25rem .75rem;align-items:baseline}\
.n{font-weight:600;overflow-wrap:anywhere}\
.s{font-size:.85rem;padding:.05rem .55rem;border-radius:1rem;background:light-dark(#ececea,#2b2f35);\
color:light-dark(#41464d,#c8ccd2)}\
.s.ready{background:light-dark(#dcf2e2,#173826);color:light-dark(#12602f,#8fdcab)}\
.s.starting{background:light-dark(#e2ebfc,#1a2c4d);color:light-dark(#1f4fa8,#9dc0ff)}\
.s.down,.s.mismatch{background:light-dark(#fbe3e0,#451f1c);color:light-dark(#9c2419,#ffb0a6)}\
.u{color:light-dark(#565c64,#a5abb3);font-size:.9rem}\
a{color:light-dark(#1f5bc4,#8fb6ff);overflow-wrap:anywhere}\
nav a{padding:.7rem .75rem;text-decoration:none}\
li.i a{display:inline-block;padding:.55rem 0;margin-right:1rem;min-height:2.75rem}\
a:focus-visible{outline:2px solid currentColor;outline-offset:2px;border-radius:.3rem}\
.p{overflow-wrap:anywhere;padding:.3rem 0}";

/// Writes the page; `back` leads to the owner's instance.
#[must_use]
pub fn render(rows: &[Row], problems: &[String], back: &str, chinese: bool) -> String {
    let words = if chinese { &CHINESE } else { &ENGLISH };
    let mut html = format!(
        "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><main><nav><a href=\"{back}\">← {}</a><a href=\"\">{}</a></nav><h1>{title}</h1><ul>",
        words.code,
        words.back,
        words.refresh,
        back = escaped(back),
        title = words.title,
    );
    // Writing to a string does not fail.
    for row in rows {
        let _ = write_row(&mut html, row, words);
    }
    html.push_str("</ul>");
    if !problems.is_empty() {
        let _ = write!(html, "<h2>{}</h2><ul>", words.problems);
        for problem in problems {
            let _ = write!(html, "<li class=\"p\">{}</li>", escaped(problem));
        }
        html.push_str("</ul>");
    }
    html.push_str("</main></body></html>");
    html
}

fn write_row(html: &mut String, row: &Row, words: &Words) -> std::fmt::Result {
    let state = words.states[row.state as usize];
    write!(
        html,
        "<li class=\"i\"><div class=\"t\"><span class=\"n\">{}</span><span class=\"s {}\">{state}</span>\
         <span class=\"u\">{}",
        escaped(&row.name),
        row.state.as_str(),
        used(row.used, words),
    )?;
    if row.open > 0 {
        write!(html, " · {}", (words.open)(row.open))?;
    }
    html.push_str("</span></div>");
    for link in &row.links {
        write!(html, "<a href=\"{0}\">{0}</a>", escaped(link))?;
    }
    html.push_str("</li>");
    Ok(())
}

fn used(seconds: Option<u64>, words: &Words) -> String {
    match seconds {
        None => words.never.to_owned(),
        Some(0..60) => words.now.to_owned(),
        Some(seconds @ 60..3600) => (words.used)(seconds / 60, Unit::Minutes),
        Some(seconds @ 3600..86_400) => (words.used)(seconds / 3600, Unit::Hours),
        Some(seconds) => (words.used)(seconds / 86_400, Unit::Days),
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_how_an_instance_is_and_nothing_of_it_is_markup() {
        let row = Row {
            name: "trial1".into(),
            state: State::Asleep,
            used: Some(7300),
            open: 2,
            links: vec!["https://t.example/".into()],
        };
        let mut html = String::new();
        write_row(&mut html, &row, &ENGLISH).unwrap();
        assert_eq!(
            html,
            "<li class=\"i\"><div class=\"t\"><span class=\"n\">trial1</span><span class=\"s asleep\">asleep</span>\
             <span class=\"u\">used 2 h ago · 2 open</span></div>\
             <a href=\"https://t.example/\">https://t.example/</a></li>"
        );
        let page = render(&[row], &["<b>\"&".to_owned()], "/owner/", true);
        assert!(page.contains("&lt;b&gt;&quot;&amp;") && page.contains("<html lang=\"zh-CN\">"), "{page}");
        let ago = |seconds| used(Some(seconds), &ENGLISH);
        assert_eq!([ago(59), ago(60), ago(200_000)], ["used just now", "used 1 min ago", "used 2 d ago"]);
    }
}
