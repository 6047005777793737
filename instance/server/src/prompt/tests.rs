use std::fs;

use remotelab_config::{Env, InstancePaths};
use remotelab_protocol::event::Message;
use remotelab_protocol::session::ResumePoint;
use remotelab_protocol::{Event, Role};
use remotelab_store::Store;
use serde_json::{Value, json};

use super::*;

const ID: &str = "12d04b72795d9cef53d6aa1749cb0af7";

/// An instance whose session has some fields and, if so wanted, a past.
struct World {
    root: tempfile::TempDir,
    settings: Settings,
    session: Session,
    tool: Tool,
    said: Option<&'static str>,
}

impl World {
    fn new(fields: Value) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("memory")).unwrap();
        let mut settings = Settings::from_env(&Env::default(), root.path());
        settings.paths = InstancePaths::below(root.path());
        let mut session = json!({"id": ID, "folder": "~", "tool": "codex"});
        session.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let session = serde_json::from_value(session).unwrap();
        Self { root, settings, session, tool: tool("codex"), said: None }
    }

    fn assembled(&self) -> Prompt {
        let store = Store::open(&self.settings.paths).unwrap().0;
        let (cell, _) = store.find_or_insert(self.session.clone());
        if let Some(said) = self.said {
            let message = Message { content: said.into(), ..Message::default() };
            cell.change(|draft| draft.append(Event::message(Role::User, message, 0))).1.wait().unwrap();
        }
        assemble(&Inputs {
            settings: &self.settings,
            system_memory: &self.root.path().join("product/memory"),
            port: 7698,
            tool: Some(&self.tool),
            session: &self.session,
            conversation: &Conversation::read(&cell, Some(&self.tool)),
            message: "Count  the\nchairs",
        })
    }

    fn names(&self) -> Vec<String> {
        self.assembled().blocks.into_iter().map(|block| block.name).collect()
    }

    fn part(&self, name: &str) -> String {
        let prompt = self.assembled();
        let block = prompt.blocks.iter().find(|block| block.name == name);
        block.map(|block| prompt.text[block.start..block.end].to_owned()).unwrap_or_default()
    }
}

fn tool(id: &str) -> Tool {
    Tool { id: id.into(), builtin: true, ..Tool::default() }
}

#[test]
fn what_is_told_depends_on_what_is_known_already() {
    let everything = json!({"systemPrompt": "Be brief.", "sourceId": "email", "visitorId": "visitor_1"});
    let mut world = World::new(everything);
    world.said = Some("hello");
    assert_eq!(
        world.names(),
        [
            "startup",
            "defaults",
            "notes",
            "source",
            "instructions",
            "conversation",
            "turn",
            "message",
            "guard"
        ]
    );
    assert!(world.part("message").starts_with("Current user message:\n"));
    // It goes on with its own conversation, and has heard all of it.
    world.session.codex_thread_id = Some("t".into());
    let point = ResumePoint { id: "t".into(), through_seq: 9 };
    world.session.resume_points.insert("codex".into(), point);
    assert_eq!(world.names(), ["turn", "message", "guard"]);
    assert!(world.part("message").starts_with("Current user message:\n"));
}

#[test]
fn a_plain_first_message_is_told_with_what_every_session_begins_with() {
    let mut world = World::new(json!({"systemPrompt": " ", "visitorId": ""}));
    assert_eq!(world.names(), ["startup", "defaults", "notes", "turn", "message"]);
    assert_eq!(world.part("message"), "User message:\nCount  the\nchairs");
    let env: Env = [("REMOTELAB_ENABLE_SHARED_STARTUP_DEFAULTS", "off")].into_iter().collect();
    world.settings.shared_startup_defaults =
        Settings::from_env(&env, world.root.path()).shared_startup_defaults;
    assert_eq!(world.names(), ["startup", "notes", "turn", "message"]);
}

#[test]
fn the_start_tells_where_it_works() {
    let world = World::new(json!({}));
    let text = world.part("startup");
    for told in [
        "~/memory/bootstrap.md",
        "~/memory/model-context/",
        "~/product/memory/system.md",
        "port 7698 ",
        "files in ~/config.",
        "This is session 12d04b72795d9cef53d6aa1749cb0af7.",
        "/api/sessions/12d04b72795d9cef53d6aa1749cb0af7/save-template",
        "remotelab trigger",
    ] {
        assert!(text.contains(told), "{told} is not in {text}");
    }
    assert!(world.root.path().join("memory/model-context").is_dir());
}

#[test]
fn a_tool_may_get_the_bare_message() {
    let mut world = World::new(json!({"systemPrompt": "Be brief.", "visitorId": "visitor_1"}));
    world.said = Some("hello");
    world.tool.prompt_mode = Some("bare-user".into());
    let message = "Count  the\nchairs";
    let block = Block { name: "message".into(), start: 0, end: message.len() };
    let expected = Prompt { text: message.into(), turn_context: None, blocks: vec![block] };
    assert_eq!(world.assembled(), expected);
    world.tool.flatten_prompt = true;
    assert_eq!(world.assembled().text, "Count the chairs");
}

#[test]
fn a_flat_prompt_is_one_line() {
    let mut world = World::new(json!({}));
    world.tool.flatten_prompt = true;
    let Prompt { text, blocks, .. } = world.assembled();
    assert!(!text.contains('\n') && !text.contains("  "), "{text}");
    assert!(text.ends_with("</private> --- User message: Count the chairs"), "{text}");
    assert_eq!(text.matches(" --- ").count(), blocks.len() - 1);
}

#[test]
fn a_visitors_message_is_followed_by_a_warning() {
    let text = World::new(json!({"visitorId": "visitor_1"})).assembled().text;
    let (before, guard) = text.split_once("Count  the\nchairs").unwrap();
    assert!(guard.starts_with("\n\n---\n\n<private>\n") && guard.ends_with("</private>"), "{guard}");
    assert!(guard.contains("outside visitor") && !before.contains("outside visitor"));
}

#[test]
fn every_turn_is_told_the_agreements_and_the_card() {
    let mut world =
        World::new(json!({"activeAgreements": ["be brief", "no tables"], "taskCard": {"goal": "chairs"}}));
    world.said = Some("hello");
    world.session.codex_thread_id = Some("t".into());
    let prompt = world.assembled();
    let told = prompt.turn_context.unwrap();
    assert!(
        told.ends_with(
            "\nStanding agreements with the user:\n- be brief\n- no tables\nTask card: {\"goal\":\"chairs\"}"
        ),
        "{told}"
    );
    assert_eq!(world.part("turn"), format!("<private>\n{told}\n</private>"));
}

#[test]
fn notes_tell_which_files_of_the_memory_are_missing() {
    let world = World::new(json!({}));
    let file = |name: &str| fs::write(world.root.path().join("memory").join(name), "x").unwrap();
    let notes = world.part("notes");
    assert!(
        notes.contains("no memory yet") && notes.contains("no projects.md") && notes.contains("no skills.md")
    );
    file("global.md");
    assert!(world.part("notes").contains("global.md is the older layout"));
    file("bootstrap.md");
    file("skills.md");
    assert_eq!(world.part("notes").lines().count(), 1);
    file("projects.md");
    assert_eq!(world.part("notes"), "");
}

#[test]
fn a_source_has_its_rules() {
    let rules = |source: &str| World::new(json!({"sourceId": source})).part("source");
    for (sources, told) in [
        (["email", "mail"], "no headers"),
        (["feishu", "lark"], "without emoji"),
        (["voice", "observer"], "read aloud"),
        (["github", "github-ci"], "source-context"),
    ] {
        let [one, other] = sources.map(rules);
        assert!(one.contains(told) && one == other, "{sources:?}: {one}");
    }
    assert_eq!(rules("chat"), "");
}
