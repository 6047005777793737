//! Awkward messages and what a correct reader gets out of them. Read by the tests only.

use crate::address::Address;
use crate::automated::{self, Class, Evidence};
use crate::message::{self, Message, SenderFault};
use crate::scan::Scanner;
use crate::text::{self, Extract};

fn read(name: &str) -> (Message, Extract) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let raw = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let message = message::parse(&raw.into()).expect("every message of the corpus is a mail");
    let extract = text::extract(&message.text, &message.head.subject);
    (message, extract)
}

fn files(message: &Message) -> Vec<(&str, &str, usize)> {
    message
        .attachments
        .iter()
        .map(|file| (file.name.as_str(), file.mime_type.as_str(), file.bytes.len()))
        .collect()
}

fn class(name: &str) -> Class {
    let (message, _) = read(name);
    automated::classify(&Evidence {
        fields: &message.head.fields,
        mail_from: Some("owner@example.com"),
        sender: message.head.sender.as_ref().ok(),
        subject: &message.head.subject,
        references: message.head.references.len(),
        from_ourselves: false,
    })
}

#[test]
fn texts_come_out_unchanged_whatever_their_encoding() {
    let cases = [
        ("01-plain.eml", "Monthly numbers", "Hello,\n\nplease   sum up March.\nThanks – Ö."),
        ("02-alternative.eml", "Übersicht März", "Grüße, bitte die Übersicht für den ganzen Monat März."),
        ("04-latin1.eml", "Gruesse", "Grüße aus München"),
        ("05-gb2312.eml", "月度报告", "请整理三月的数据"),
        (
            "12-code.eml",
            "Fix this",
            "Please fix:\n\ndef f(x):\n    # emits <p> for <div>\n    if x < 3:\n        print(\"hi\")\n    return x   >  1",
        ),
        ("17-short-base64.eml", "Short", "OK thanks"),
    ];
    for (name, subject, reply) in cases {
        let (message, extract) = read(name);
        assert_eq!((message.head.subject.as_str(), extract.reply.as_str()), (subject, reply), "{name}");
        assert_eq!(extract.quoted, "", "{name}");
    }
}

#[test]
fn quotes_and_signatures_are_set_apart_and_answers_never_lost() {
    let (_, reply) = read("06-reply.eml");
    assert_eq!(reply.reply, "Great - and April too?");
    assert_eq!(reply.signature, "-- \nOwner\nExample Ltd");
    assert!(reply.quoted.starts_with("On Tue, 10 Mar 2026") && reply.quoted.ends_with("> Shall I go on?"));

    let (_, html) = read("11-html.eml");
    assert_eq!(html.reply, "First block.\n\nSecond block.\n* one\n* two");
    assert!(html.quoted.ends_with("> Old words"));

    let (_, outlook) = read("14-outlook.eml");
    assert_eq!(outlook.reply, "Please go on.");
    assert!(outlook.quoted.starts_with("From: Rowan") && outlook.quoted.ends_with("Here are the numbers."));

    let (_, inline) = read("15-inline.eml");
    assert!(inline.reply.contains("\nMay.\n") && inline.reply.ends_with("PDF, please."));
    let (_, bottom) = read("19-bottom.eml");
    assert!(bottom.reply.ends_with("I mean May."));
}

#[test]
fn attachments_keep_their_names_and_bytes() {
    let (message, extract) = read("03-attachment.eml");
    assert_eq!(extract.reply, "Please file the invoice; photo attached.");
    assert_eq!(
        files(&message),
        [("invoice; march.pdf", "application/pdf", 14), ("photo.png", "image/png", 68)]
    );
    assert_eq!(message.attachments[1].bytes, (0..68).collect::<Vec<u8>>());
    assert_eq!(files(&read("18-continuation.eml").0), [("Résumé final.pdf", "application/pdf", 7)]);
    let (table, _) = read("20-csv.eml");
    assert_eq!(files(&table), [("t.csv", "text/csv", "a,b\nä,€\n".len())]);
    assert_eq!(table.attachments[0].bytes, "a,b\nä,€\n".as_bytes());
}

#[test]
fn machines_are_told_from_people() {
    assert_eq!(class("01-plain.eml"), Class::Personal);
    assert_eq!(class("07-list.eml"), Class::Bulk);
    assert_eq!(class("08-out-of-office.eml"), Class::AutoReply);
    assert_eq!(class("09-dsn.eml"), Class::Dsn);
}

#[test]
fn senders_are_who_the_grammar_says() {
    assert_eq!(read("10-spoof.eml").0.head.sender, Err(SenderFault::Several));
    assert_eq!(read("16-utf8-local.eml").0.head.sender, Ok(Address::parse("用户@例子.测试").unwrap()));
}

#[test]
fn a_mail_without_id_gets_one() {
    let raw = include_bytes!("../tests/corpus/13-no-id.eml");
    let mut scanner = Scanner::new();
    scanner.update(raw);
    assert!(scanner.finish().message_id.ends_with("@instance.invalid"));
}
