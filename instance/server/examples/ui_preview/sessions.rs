//! The invented sessions: one of each state that the page shows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use remotelab_protocol::event::{Known, Message, Usage};
use remotelab_protocol::queue::Queued;
use remotelab_protocol::{Attachment, Event, Role, RunState, Session, SessionId};
use serde_json::json;

use crate::Talk;

pub(crate) fn invented() -> BTreeMap<String, Talk> {
    let mut talks = BTreeMap::new();
    let mut add =
        |name: &str, minutes: i64, running: bool, last: Option<RunState>, kinds: Vec<Event>| -> String {
            let session = session(name, "codex");
            let id = session.id.to_string();
            let mut talk = Talk { session, events: Vec::new(), running, last };
            let start = Timestamp::now().as_millisecond() - minutes * 60_000;
            let count = i64::try_from(kinds.len()).unwrap();
            let kinds = kinds
                .into_iter()
                .zip(0_i64..)
                .map(|(event, index)| Event { timestamp: start + (index - count) * 40_000, ..event });
            push(&mut talk, kinds.collect());
            talks.insert(id.clone(), talk);
            id
        };
    let done = Some(RunState::Completed);
    add("Clean the customer spreadsheet", 3, false, done, rich());
    let running = add("Migrate the build to the new runner and check every target", 0, true, None, at_work());
    add("Fix the login test", 40, false, Some(RunState::Failed), failed());
    add("整理三月份的销售数据并生成图表", 130, false, done, chinese());
    add("Weekly news digest", 60 * 26, false, Some(RunState::Cancelled), stopped());
    add(
        "A very long name that nobody would ever type but some model certainly will produce one day",
        60 * 24 * 3,
        false,
        done,
        rich(),
    );
    add(
        "Old conversation with many turns",
        60 * 24 * 40,
        false,
        done,
        (0..60)
            .flat_map(|n| {
                [
                    said(Role::User, &format!("Question {n}")),
                    said(Role::Assistant, &format!("Answer **{n}**")),
                ]
            })
            .collect(),
    );
    let pinned = add("Server notes", 60 * 24 * 9, false, done, rich());
    talks.get_mut(&pinned).unwrap().session.pinned = true;
    let queue = &mut talks.get_mut(&running).unwrap().session.follow_up_queue;
    for text in [
        "Also check Linux on ARM, please",
        "And write the result into docs/build.md. 如果有问题，请用中文告诉我，并附上失败的日志。",
    ] {
        queue.push(Queued {
            request_id: text.len().to_string(),
            text: text.into(),
            queued_at: remotelab_protocol::time::iso(Timestamp::now()),
            ..Queued::default()
        });
    }
    talks
}

pub(crate) fn session(name: &str, tool: &str) -> Session {
    let id = SessionId::random();
    serde_json::from_value(json!({"id": id, "name": name, "tool": tool, "folder": "/home/me/project"}))
        .unwrap()
}

pub(crate) fn push(talk: &mut Talk, events: Vec<Event>) {
    for mut event in events {
        event.seq = talk.events.len() as u64 + 1;
        talk.events.push(event);
    }
}

pub(crate) fn said(role: Role, text: &str) -> Event {
    let message = Message { content: text.into(), ..Message::default() };
    Event::message(role, message, Timestamp::now().as_millisecond())
}

pub(crate) fn note(text: &str) -> Event {
    Event::new(Known::Status { content: text.into() }, Timestamp::now().as_millisecond())
}

pub(crate) fn call(name: &str, input: &str) -> Known {
    Known::ToolUse { tool_name: name.into(), tool_input: input.into() }
}

pub(crate) fn outcome(output: &str, exit_code: i32) -> Known {
    Known::ToolResult { tool_name: "bash".into(), output: output.into(), exit_code }
}

fn event(kind: Known) -> Event {
    Event::new(kind, 0)
}

fn rich() -> Vec<Event> {
    let files = vec![
        Attachment {
            filename: Some("a1.csv".into()),
            original_name: Some("customers-clean.csv".into()),
            mime_type: "text/csv".into(),
            size_bytes: Some(48_213),
            ..Attachment::default()
        },
        Attachment {
            filename: Some("a2.pdf".into()),
            original_name: Some(
                "A rather long name of a report about duplicates, final version (2).pdf".into(),
            ),
            mime_type: "application/pdf".into(),
            size_bytes: Some(1_238_213),
            ..Attachment::default()
        },
    ];
    let answer =
        Message { content: include_str!("answer.md").into(), attachments: files, ..Message::default() };
    vec![
        said(
            Role::User,
            "Please clean the spreadsheet:\n- remove duplicates\n- fix the dates\nand tell me what changed.",
        ),
        event(Known::Reasoning { content: "The file has **3,120 rows**. I read it first.".into() }),
        event(call(
            "bash",
            "python3 - <<'EOF'\nimport pandas as pd\nprint(pd.read_csv('customers.csv').shape)\nEOF",
        )),
        event(outcome("(3120, 14)\n", 0)),
        said(Role::Assistant, "I found duplicates; now the dates."),
        event(call("Read", r#"{"file_path":"/home/me/project/customers.csv"}"#)),
        event(outcome("head: cannot open 'customers.csvv' for reading: No such file or directory", 1)),
        event(Known::FileChange {
            file_path: "/home/me/project/out/customers-clean.csv".into(),
            change_type: "add".into(),
        }),
        Event::message(Role::Assistant, answer, 0),
        event(Known::Usage(Usage {
            context_tokens: Some(18_432),
            input_tokens: Some(16_100),
            output_tokens: Some(912),
            context_window_tokens: Some(272_000),
            ..Usage::default()
        })),
        said(Role::User, "Thanks! 谢谢"),
        said(Role::Assistant, "[x] Remove duplicates\n[x] Fix the dates\n[ ] Send the mail"),
    ]
}

fn at_work() -> Vec<Event> {
    vec![
        said(Role::User, "Migrate the build to the new runner and check that every target still works."),
        event(Known::Reasoning { content: "Start with the workflow files.".into() }),
        event(call("bash", "cat .github/workflows/build.yml")),
        event(outcome("name: build\non: push", 0)),
        said(
            Role::Assistant,
            "The workflow uses three runners. I change them **one by one** and run the build after each.",
        ),
        event(call(
            "bash",
            "cargo build --release --target aarch64-unknown-linux-musl --features full,metrics --locked && cargo test --release --target aarch64-unknown-linux-musl",
        )),
    ]
}

fn failed() -> Vec<Event> {
    vec![
        said(Role::User, "Fix the login test"),
        event(call("bash", "npm test")),
        event(outcome("2 failed", 1)),
        note(
            "error: codex exited with status 1: unexpected status 401 Unauthorized: Missing bearer or basic authentication in header\nurl: https://api.openai.com/v1/responses\ncf-ray: 9a1b2c3d4e5f\nplease run `codex login` on this machine",
        ),
    ]
}

fn stopped() -> Vec<Event> {
    vec![
        said(Role::User, "Collect the news of this week"),
        event(call("bash", "curl -s https://news.example/feed")),
        note("cancelled"),
    ]
}

fn chinese() -> Vec<Event> {
    vec![
        said(Role::User, "把三月份的销售数据整理一下，按地区汇总，生成一张图表。"),
        event(call("bash", "python3 report.py --month 3")),
        event(outcome("已生成 report.png", 0)),
        said(
            Role::Assistant,
            "已经整理完毕。**华东地区**的销售额最高，环比增长 12.5%。\n\n| 地区 | 销售额（万元） | 环比 |\n|---|---:|---:|\n| 华东 | 1,280 | +12.5% |\n| 华南 | 960 | +3.1% |\n| 华北 | 715 | −2.4% |\n\n1. 数据来自 `sales_2026_03.xlsx`\n2. 退货已经扣除\n\n> 如果需要按产品线拆分，请告诉我。\n\n```python\ndef total(rows):\n    # 只统计已完成的订单\n    return sum(r[\"amount\"] for r in rows if r[\"state\"] == \"done\")\n```",
        ),
    ]
}
