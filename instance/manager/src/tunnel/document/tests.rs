use proptest::prelude::*;
use yaml_rust::YamlLoader;

use super::*;

const USUAL: &str = "tunnel: lab # mine
credentials-file: /x.json

ingress:
  # the owner
  - hostname: \"RemoteLab.example.com\"
    service: http://127.0.0.1:7690
    originRequest:
      noTLSVerify: true

  - service: http://127.0.0.1:7696 # kept
    hostname: trial1.example.com
  # everything else
  - service: http_status:404
# the end
logLevel: info
";

fn document(text: &str) -> Document {
    Document::parse(text).unwrap()
}

fn rules(document: &Document) -> Vec<(&str, &str)> {
    document.rules().iter().map(|rule| (rule.hostname.as_str(), rule.service.as_str())).collect()
}

#[test]
fn rules_are_read_as_they_are_meant() {
    let usual = document(USUAL);
    let expected = [
        ("remotelab.example.com", "http://127.0.0.1:7690"),
        ("trial1.example.com", "http://127.0.0.1:7696"),
        ("", "http_status:404"),
    ];
    assert_eq!(rules(&usual), expected);
    assert_eq!(usual.tunnel(), Some("lab"));
    assert_eq!(usual.text(), USUAL);
    assert_eq!(usual.validate(), Ok(()));
    assert_eq!(document("tunnel: a").rules(), []);
}

#[test]
fn a_new_rule_stands_before_the_last_one_and_what_is_above_that() {
    let set = document(USUAL).set("t.example.com", "http://127.0.0.1:7697").unwrap();
    let expected = USUAL.replace(
        "  # everything else\n",
        "  - hostname: t.example.com\n    service: http://127.0.0.1:7697\n  # everything else\n",
    );
    assert_eq!(set.text(), expected);
    assert_eq!(set.remove("T.example.com").unwrap().text(), USUAL);
    // Whatever the last rule is.
    let odd_last = "ingress:\n- hostname: a.b\n  service: http://x\n- service: http://127.0.0.1:1\n# after\n";
    let set = document(odd_last).set("c.d", "http://y").unwrap();
    assert_eq!(
        set.text(),
        "ingress:\n- hostname: a.b\n  service: http://x\n- hostname: c.d\n  service: http://y\n\
         - service: http://127.0.0.1:1\n# after\n"
    );
}

#[test]
fn a_rule_that_there_is_keeps_all_but_its_service() {
    let set = document(USUAL).set("trial1.example.com", "http://127.0.0.1:7699").unwrap();
    assert_eq!(set.text(), USUAL.replace("7696", "7699"));
    let set = document(USUAL).set("remotelab.example.com", "http://127.0.0.1:1").unwrap();
    assert_eq!(set.text(), USUAL.replace("7690", "1"), "quoted names are not doubled");
    let by_path = "ingress:\n  - hostname: a.b\n    path: /x\n    service: http://p\n  - hostname: a.b\n    \
        service: 'http://q'\n  - service: http_status:404\n";
    let set = document(by_path).set("a.b", "http://r").unwrap();
    assert_eq!(set.text(), by_path.replace("'http://q'", "http://r"));
}

#[test]
fn settings_without_rules_get_them() {
    let set = document("tunnel: a\r\nprotocol: http2").set("a.b", "http://x").unwrap();
    assert_eq!(
        set.text(),
        "tunnel: a\r\nprotocol: http2\r\n\r\ningress:\r\n  - hostname: a.b\r\n    service: http://x\r\n  \
         - service: http_status:404\r\n"
    );
    let set = document("ingress:\nlogLevel: info\n").set("a.b", "http://x").unwrap();
    assert_eq!(
        set.text(),
        "ingress:\n  - hostname: a.b\n    service: http://x\n  - service: http_status:404\nlogLevel: info\n"
    );
    let set = document("ingress:\n  - hostname: a.b\n    service: http://x").set("c.d", "http://y").unwrap();
    assert_eq!(set.validate(), Ok(()));
}

#[test]
fn what_is_not_understood_is_left_alone() {
    for (text, reason) in [
        ("ingress: [{service: x}]\n", "line 1: a list or mapping on one line"),
        ("ingress:\n  - &a\n    service: x\n", "line 2: no key with a value"),
        ("ingress:\n  - hostname: *a\n    service: x\n", "line 2: an anchor"),
        ("ingress:\n  - {hostname: a.b, service: x}\n", "line 2: no key with a value"),
        ("ingress:\n  - hostname: |\n      a\n    service: x\n", "line 2: a text of several lines"),
        ("ingress:\n\t- service: x\n", "line 2: a tab"),
        ("ingress:\n  x: y\n", "line 2: no rule"),
        ("{ingress: []}\n", "line 1: no key with a value"),
        ("ingress:\n  - service: x\ningress:\n", "line 3: a second list of rules"),
    ] {
        assert_eq!(Document::parse(text).unwrap_err(), reason, "{text}");
    }
}

#[test]
fn rules_that_cloudflared_would_not_take_are_told() {
    for (text, reason) in [
        ("ingress:\n", "there are no rules"),
        (
            "ingress:\n- hostname: a.b\n  service: http://x\n",
            "the last rule must be for all host names and paths",
        ),
        (
            "ingress:\n- service: http://x\n- service: http_status:404\n",
            "rule 1 is for everything, so those after it are never reached",
        ),
        ("ingress:\n- service: localhost:80\n", "\"localhost:80\" is no service"),
        ("ingress:\n- service: http_status:99\n", "\"http_status:99\" is no service"),
    ] {
        assert_eq!(document(text).validate().unwrap_err(), reason);
    }
}

/// Files as people write them.
fn settings() -> impl Strategy<Value = String> {
    let name = "[a-d]\\.(b|c)\\.d";
    let rule = (name, 0_usize..4, proptest::bool::ANY, 0_usize..3).prop_map(|(name, quote, first, more)| {
        let name = match quote {
            0 => format!("\"{name}\""),
            1 => format!("'{name}' # said"),
            _ => name,
        };
        let more = ["", "\n    path: /a", "\n\n    # deep\n    originRequest:\n      x: [1, {y: z}]"][more];
        let (a, b) = (format!("hostname: {name}"), "service: http://127.0.0.1:1".to_owned());
        let (a, b) = if first { (a, b) } else { (b, a) };
        format!("  - {a}\n    {b}{more}\n")
    });
    let between = prop_oneof![Just(""), Just("\n"), Just("  # a comment\n"), Just("# at the edge\n")];
    let last = prop_oneof![Just("  - service: http_status:404"), Just("  # last\n  - service: http://x")];
    let items = proptest::collection::vec((between, rule), 0..5);
    (items, last, proptest::bool::ANY, proptest::bool::ANY).prop_map(|(items, last, crlf, end)| {
        let rules: String = items.into_iter().map(|(between, rule)| format!("{between}{rule}")).collect();
        let end = if end { "\nlogLevel: info\n" } else { "\n" };
        let text = format!("tunnel: t\ningress:\n{rules}{last}{end}");
        if crlf { text.replace('\n', "\r\n") } else { text }
    })
}

/// What another reader makes of the rules.
fn read_otherwise(text: &str) -> Vec<(String, String)> {
    let root = YamlLoader::load_from_str(&text.replace("\r\n", "\n")).unwrap().remove(0);
    let word = |rule: &yaml_rust::Yaml, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
    let rules = root["ingress"].as_vec().unwrap().iter();
    rules.map(|rule| (word(rule, "hostname").to_lowercase(), word(rule, "service"))).collect()
}

proptest! {
    #[test]
    fn what_was_set_and_removed_was_never_there(text in settings()) {
        let document = Document::parse(&text).unwrap();
        let set = document.set("new.x.y", "http://127.0.0.1:9").unwrap();
        prop_assert_eq!(set.validate(), Ok(()));
        prop_assert_eq!(set.remove("new.x.y").unwrap().text(), text);
    }

    #[test]
    fn others_read_the_same(text in settings(), hostname in "[a-e]\\.(b|c)\\.d") {
        let document = Document::parse(&text).unwrap();
        let all = |document: &Document| -> Vec<(String, String)> {
            rules(document).into_iter().map(|(name, to)| (name.to_owned(), to.to_owned())).collect()
        };
        prop_assert_eq!(read_otherwise(&text), all(&document));
        let set = document.set(&hostname, "http://127.0.0.1:9").unwrap();
        prop_assert_eq!(read_otherwise(&set.text()), all(&set));
        let gone = set.remove(&hostname).unwrap();
        prop_assert_eq!(read_otherwise(&gone.text()), all(&gone));
        prop_assert!(gone.rules().iter().all(|rule| rule.hostname != hostname));
    }

    #[test]
    fn anything_is_read_or_refused(text in "(ingress:\n)?([ \t-]{0,4}(hostname|service|#)?:?.{0,20}\r?\n){0,6}") {
        if let Ok(document) = Document::parse(&text) {
            prop_assert_eq!(document.text(), text);
            let _ = document.set("a.b", "http://x");
            let _ = document.remove("a.b");
        }
    }
}
