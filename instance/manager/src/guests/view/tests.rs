use super::*;

fn token() -> String {
    "ab".repeat(32)
}

fn view() -> View {
    let record = json!({
        "name": "trial1", "label": "com.chatserver.trial1", "port": 7696,
        "hostname": "trial1.example.com",
        "instanceRoot": "/g/trial1", "configDir": "/g/trial1/config", "memoryDir": "/g/trial1/memory",
        "mailboxRoot": "/g/trial1/config/agent-mailbox", "authFile": "/g/trial1/config/auth.json",
        "launchAgentPath": "/l/trial1.plist", "logPath": "/l/x.log", "errorLogPath": "/l/x.error.log",
        "publicBaseUrl": "https://trial1.example.com", "localBaseUrl": "http://127.0.0.1:7696",
        "sessionExpiryDays": 30, "createdAt": "2026-03-26T14:56:25.700Z"
    });
    View {
        record: serde_json::from_value(record).unwrap(),
        mailbox: String::new(),
        bridge_base: "https://cn.example.net/trial1".into(),
        gateway_base: None,
        token: Some(token()),
        problem: None,
        process: None,
        asleep: false,
        reached: None,
        local_reachable: Some(true),
        public_reachable: Some(true),
    }
}

fn created() -> Created {
    Created {
        view: view(),
        mail_routing_status: "unconfigured",
        mail_routing_detail: "Owner mailbox is not initialized.",
        mail_route_model: "",
        warnings: vec!["look out".into()],
    }
}

#[test]
fn create_prints_the_documented_lines() {
    let expected = "name: trial1
port: 7696
status: running
local: http://127.0.0.1:7696
mailboxRouting: unconfigured (Owner mailbox is not initialized.)
public: https://trial1.example.com
publicStatus: reachable
mainland: https://cn.example.net/trial1
access: https://trial1.example.com/?token=TOKEN
localAccess: http://127.0.0.1:7696/?token=TOKEN
mainlandAccess: https://cn.example.net/trial1/?token=TOKEN
token: TOKEN
instanceRoot: /g/trial1
config: /g/trial1/config
memory: /g/trial1/memory
launchAgent: /l/trial1.plist
createdAt: 2026-03-26T14:56:25.700Z
warning: look out
";
    assert_eq!(created().text(), expected.replace("TOKEN", &token()));
}

#[test]
fn create_has_the_documented_keys_in_their_order() {
    let json = created().json();
    let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys.join(" "),
        "name label port hostname instanceRoot configDir memoryDir mailboxRoot authFile \
         launchAgentPath logPath errorLogPath publicBaseUrl localBaseUrl sessionExpiryDays createdAt \
         mailboxAddress mailboxRoutingStatus mailboxRoutingDetail mailboxRouteModel \
         mailboxRoutingOperations localReachable publicReachable token warnings publicAccessUrl \
         localAccessUrl mainlandBaseUrl mainlandAccessUrl bridgeBaseUrl bridgeAccessUrl \
         accessChannels accessUrl"
    );
    assert_eq!(json["bridgeAccessUrl"], json["mainlandAccessUrl"]);
    assert_eq!(json["accessChannels"].as_array().unwrap().len(), 3);
}

#[test]
fn links_prints_a_block() {
    let local = View {
        bridge_base: String::new(),
        gateway_base: Some("http://127.0.0.1:7699/trial1".into()),
        mailbox: "rowan+trial1@example.com".into(),
        ..view()
    };
    let expected = "name: trial1
access: https://trial1.example.com/?token=TOKEN
gatewayAccess: http://127.0.0.1:7699/trial1/?token=TOKEN
localAccess: http://127.0.0.1:7696/?token=TOKEN
mailbox: rowan+trial1@example.com
";
    assert_eq!(local.links_text(), expected.replace("TOKEN", &token()));
    assert_eq!(local.json()["gatewayAccessUrl"], format!("http://127.0.0.1:7699/trial1/?token={}", token()));
}

#[test]
fn the_first_base_that_exists_is_handed_out() {
    let mut view = View { token: None, ..view() };
    view.record.public_base_url.clear();
    assert_eq!(view.access_url(), "https://trial1.example.com");
    view.record.hostname.clear();
    assert_eq!(view.access_url(), "https://cn.example.net/trial1");
    view.bridge_base.clear();
    assert_eq!(view.access_url(), "http://127.0.0.1:7696");
}

#[test]
fn a_damaged_guest_says_so_everywhere() {
    let mut view = View { token: None, problem: Some("bad token".into()), ..view() };
    assert_eq!(view.list_line(), "trial1\t7696\ttrial1.example.com\terror\tbad token");
    assert!(view.links_text().contains("status: error\nerror: bad token\n"));
    assert!(view.show_text().contains("status: error\nerror: bad token\n"));
    assert_eq!((&view.json()["status"], &view.json()["error"]), (&json!("error"), &json!("bad token")));
    view.problem = None;
    view.record.hostname.clear();
    assert_eq!(view.list_line(), "trial1\t7696\tlocal-only\trunning");
}
